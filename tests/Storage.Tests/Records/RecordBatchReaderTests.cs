using System.Buffers.Binary;
using EdgeStream.Storage.Records;
using static EdgeStream.Storage.Tests.Records.SampleBatches;

namespace EdgeStream.Storage.Tests.Records;

public class RecordBatchReaderTests
{
    [Theory]
    [MemberData(nameof(EachCodec), MemberType = typeof(SampleBatches))]
    public void Records_come_back_with_absolute_offsets_and_timestamps(CompressionCodec codec)
    {
        Record[] records = Telemetry(100);
        Record[] read = Decode(Encode(records, codec, baseOffset: 5_000_000_000));
        RecordAssert.Equal([.. records.Select(r => r with { Offset = 5_000_000_000 + r.Offset })], read);
    }

    [Fact]
    public void Timestamps_that_are_too_far_apart_for_a_delta_come_back()
    {
        Record[] records = [new(long.MaxValue, null, null), new(long.MinValue, null, null), new(-1, null, null)];
        Assert.Equal(records.Select(r => r.Timestamp), Decode(Encode(records)).Select(r => r.Timestamp));
    }

    [Fact]
    public void Batch_stamped_by_a_broker_gives_its_time_to_all_records()
    {
        RecordBatchHeader header = Header(CompressionCodec.None) with
        {
            Attributes = RecordBatchHeader.LogAppendTimeFlag,
            MaxTimestamp = 7777,
        };
        byte[] batch = Forge(header, Section(Encode([new(1234, null, null)])));
        Assert.Equal(7777, Decode(batch)[0].Timestamp);
    }

    [Fact]
    public void Wrong_checksum_is_corruption()
    {
        byte[] batch = Encode(Telemetry(3));
        batch[^1] ^= 1;
        Assert.Throws<CorruptBatchException>(() => RecordBatchReader.Open(batch));
    }

    [Theory]
    [MemberData(nameof(EachCodec), MemberType = typeof(SampleBatches))]
    public void Batch_cut_anywhere_is_corruption(CompressionCodec codec)
    {
        byte[] batch = Encode(Telemetry(20), codec);
        for (int length = 0; length < batch.Length; length++)
            Assert.Throws<CorruptBatchException>(() => Decode(batch.AsMemory(0, length)));
    }

    [Theory]
    [MemberData(nameof(EachCodec), MemberType = typeof(SampleBatches))]
    public void Records_cut_anywhere_are_corruption(CompressionCodec codec)
    {
        byte[] batch = Encode(Telemetry(20), codec);
        Assert.True(RecordBatchHeader.TryRead(batch, out RecordBatchHeader header, out _));

        // Gzip ends in an end mark of up to two bytes and a checksum and length of its own, which the platform does not miss
        // once it has all the data. The batch's own checksum has covered every byte before.
        int trailer = codec == CompressionCodec.Gzip ? 2 + 8 : 0;
        for (int length = RecordBatchHeader.Size; length < batch.Length - trailer; length++)
            Assert.Throws<CorruptBatchException>(() => Decode(ForgeCompressed(header, batch.AsSpan(RecordBatchHeader.Size..length))));
    }

    [Fact]
    public void Bytes_after_the_batch_are_corruption() =>
        Assert.Throws<CorruptBatchException>(() => RecordBatchReader.Open(Encode(Telemetry(3)).Append((byte)0).ToArray()));

    [Theory]
    [MemberData(nameof(EachCodec), MemberType = typeof(SampleBatches))]
    public void Bytes_after_the_last_record_are_corruption(CompressionCodec codec)
    {
        byte[] section = Section(Encode([new(1, null, null)]));
        Assert.Single(Decode(Forge(Header(codec), section)));
        Assert.Throws<CorruptBatchException>(() => Decode(Forge(Header(codec), [.. section, 0])));
    }

    [Theory]
    [InlineData("")] // no record at all
    [InlineData("00")] // a record of no bytes
    [InlineData("01")] // of -1 bytes
    [InlineData("0E000000010100")] // shorter than its length
    [InlineData("0E0000020101000000")] // the offset of the record after
    [InlineData("0C000000030100")] // a key of -2 bytes
    [InlineData("0C000000010500")] // a value of -3 bytes
    [InlineData("0C00000001FEFFFFFF0F")] // a value of 2^31-1 bytes
    [InlineData("0C000000010101")] // -1 headers
    [InlineData("14000000010102000000")] // one header, and bytes that belong to none
    [InlineData("10000000010102010100")] // a header without a key
    [InlineData("0E00000001010000")] // a byte after the last field
    public void Malformed_record_is_corruption(string hex)
    {
        byte[] batch = Forge(Header(CompressionCodec.None), Convert.FromHexString(hex));
        Assert.Throws<CorruptBatchException>(() => Decode(batch));
    }

    [Fact]
    public void Smallest_record_is_read() =>
        RecordAssert.Equal(
            [new Record(1000, null, null)],
            Decode(Forge(Header(CompressionCodec.None), Convert.FromHexString("0C000000010100"))));

    [Fact]
    public void No_record_follows_a_malformed_one()
    {
        byte[] section = [.. Convert.FromHexString("0C000000010500"), .. Convert.FromHexString("0C000002010100")];
        using var reader = RecordBatchReader.Open(Forge(Header(CompressionCodec.None, 2), section));
        Assert.Throws<CorruptBatchException>(() => reader.TryRead(out _));
        Assert.False(reader.TryRead(out _));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    [InlineData(int.MaxValue)]
    public void Record_count_that_is_not_true_is_corruption(int count)
    {
        byte[] batch = Encode([new(1, null, null)]);
        BinaryPrimitives.WriteInt32BigEndian(batch.AsSpan(57), count);
        BinaryPrimitives.WriteInt32BigEndian(batch.AsSpan(23), count - 1);
        RecordBatchHeader.SealChecksum(batch);
        Assert.Throws<CorruptBatchException>(() => Decode(batch));
    }

    [Fact]
    public void Reading_records_without_headers_allocates_only_the_reader()
    {
        byte[] batch = Encode(Telemetry(1000).Select(r => r with { Headers = [] }));
        long allocated = Allocated.Least(() =>
        {
            using var reader = RecordBatchReader.Open(batch);
            int count = 0;
            while (reader.TryRead(out _))
                count++;
            Assert.Equal(1000, count);
        });
        Assert.InRange(allocated, 0, 999); // less than a byte a record: the reader and the test's own
    }

    [Fact]
    public void Reader_that_is_disposed_gives_no_records()
    {
        var reader = RecordBatchReader.Open(Encode(Telemetry(3), CompressionCodec.Gzip));
        reader.Dispose();
        Assert.Throws<ObjectDisposedException>(() => reader.TryRead(out _));
    }
}
