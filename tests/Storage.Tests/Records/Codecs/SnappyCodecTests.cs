using System.Buffers.Binary;
using EdgeStream.Storage.Records;
using Snappier;
using static EdgeStream.Storage.Tests.Records.SampleBatches;

namespace EdgeStream.Storage.Tests.Records.Codecs;

/// <summary>The framing of Java clients, put together by hand: magic, two versions, then length and block in turn.</summary>
public class SnappyCodecTests
{
    private static readonly byte[] JavaHeader = [0x82, .. "SNAPPY\0"u8, 0, 0, 0, 1, 0, 0, 0, 1];

    [Fact]
    public void Blocks_in_java_framing_are_read()
    {
        Record[] records = Telemetry(60);
        byte[] section = Section(Encode(records));
        byte[] framed = [.. JavaHeader, .. Block(section.AsSpan(0, 700)), .. Block(section.AsSpan(700, 1)), .. Block(section.AsSpan(701))];

        byte[] batch = ForgeCompressed(Header(CompressionCodec.Snappy, 60) with { BaseTimestamp = records[0].Timestamp }, framed);

        RecordAssert.Equal(records, Decode(batch));
    }

    [Fact]
    public void Java_framing_cut_anywhere_is_corruption()
    {
        byte[] framed = [.. JavaHeader, .. Block(Section(Encode(Telemetry(5))))];
        for (int length = 0; length < framed.Length; length++)
        {
            byte[] batch = ForgeCompressed(Header(CompressionCodec.Snappy, 5), framed.AsSpan(0, length));
            Assert.Throws<CorruptBatchException>(() => Decode(batch));
        }
    }

    private static byte[] Block(ReadOnlySpan<byte> bytes)
    {
        byte[] block = Snappy.CompressToArray(bytes);
        byte[] length = new byte[sizeof(int)];
        BinaryPrimitives.WriteInt32BigEndian(length, block.Length);
        return [.. length, .. block];
    }
}
