using EdgeStream.Storage.Records;
using static EdgeStream.Storage.Tests.Records.SampleBatches;

namespace EdgeStream.Storage.Tests.Records.Codecs;

/// <summary>Frames of other writers, put together by hand, for what this project's own frames do not have.</summary>
public class Lz4CodecTests
{
    [Fact]
    public void Records_of_many_blocks_come_back()
    {
        Record[] records = Telemetry(10_000);
        RecordAssert.Equal(records, Decode(Encode(records, CompressionCodec.Lz4)));
    }

    [Fact]
    public void Stored_block_content_size_and_checksums_are_accepted()
    {
        byte[] section = Section(Encode([new(1000, null, null)]));
        byte[] frame =
        [
            0x04, 0x22, 0x4D, 0x18, 0x7C, 0x70, // all optional parts, blocks of 4 MiB
            (byte)section.Length, 0, 0, 0, 0, 0, 0, 0, 0xAA, // content size, header checksum
            (byte)section.Length, 0, 0, 0x80, .. section, 1, 2, 3, 4, // a stored block and its checksum
            0, 0, 0, 0, 5, 6, 7, 8, // end mark, content checksum
        ];
        Assert.Single(Decode(ForgeCompressed(Header(CompressionCodec.Lz4), frame)));
    }

    [Fact]
    public void Linked_block_can_refer_to_the_one_before()
    {
        byte[] value = Bytes(string.Concat(Enumerable.Repeat("all work and no play ", 4)));
        byte[] section = Section(Encode([new(1000, null, value)]));
        // The second block is one match that reaches back 21 bytes into the first: token with match length 19 or more.
        int rest = 42;
        byte[] head = section[..^(rest + 6)];
        byte[] second = [0x0F, 21, 0, (byte)(rest - 19), 0x60, .. section[^6..]];
        byte[] frame =
        [
            0x04, 0x22, 0x4D, 0x18, 0x40, 0x40, 0,
            (byte)head.Length, 0, 0, 0x80, .. head,
            (byte)second.Length, 0, 0, 0, .. second,
            0, 0, 0, 0,
        ];
        Record record = Assert.Single(Decode(ForgeCompressed(Header(CompressionCodec.Lz4), frame)));
        Assert.Equal(value, record.Value!.Value.ToArray());

        frame[4] = 0x60; // independent blocks: now the same match reaches before the beginning
        Assert.Throws<CorruptBatchException>(() => Decode(ForgeCompressed(Header(CompressionCodec.Lz4), frame)));
    }

    [Fact]
    public void Frame_needs_its_magic_version_and_no_dictionary()
    {
        foreach (byte[] start in (byte[][])[[0x05, 0x22, 0x4D, 0x18, 0x60], [0x04, 0x22, 0x4D, 0x18, 0xA0], [0x04, 0x22, 0x4D, 0x18, 0x61]])
        {
            byte[] frame = [.. start, 0x40, 0x82, 0, 0, 0, 0];
            Assert.Throws<CorruptBatchException>(() => Decode(ForgeCompressed(Header(CompressionCodec.Lz4), frame)));
        }
    }
}
