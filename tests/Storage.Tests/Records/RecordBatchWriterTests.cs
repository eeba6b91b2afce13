using EdgeStream.Storage.Records;
using static EdgeStream.Storage.Tests.Records.SampleBatches;

namespace EdgeStream.Storage.Tests.Records;

public class RecordBatchWriterTests
{
    [Fact]
    public void Header_says_what_the_records_are()
    {
        byte[] batch = Encode([new(2000, null, null), new(5000, null, null), new(1000, null, null)], baseOffset: 42);

        Assert.True(RecordBatchHeader.TryRead(batch, out RecordBatchHeader header, out _));
        Assert.Equal((42L, 44L, 3), (header.BaseOffset, header.LastOffset, header.RecordCount));
        Assert.Equal((2000L, 5000L), (header.BaseTimestamp, header.MaxTimestamp));
        Assert.Equal((-1L, (short)-1, -1), (header.ProducerId, header.ProducerEpoch, header.BaseSequence));
        Assert.Equal((-1, (short)0), (header.PartitionLeaderEpoch, header.Attributes));
        Assert.Equal(batch.Length, header.TotalLength);
        Assert.True(RecordBatchHeader.VerifyChecksum(batch));
    }

    [Fact]
    public void Estimated_size_is_the_size_of_the_uncompressed_batch()
    {
        using var writer = new RecordBatchWriter();
        Assert.Equal(RecordBatchHeader.Size, writer.EstimatedSize);
        foreach (Record record in Telemetry(20))
            writer.Append(record);
        Assert.Equal(writer.EstimatedSize, writer.Build().Length);
    }

    [Theory]
    [MemberData(nameof(EachCodec), MemberType = typeof(SampleBatches))]
    public void Compressible_records_are_stored_with_the_codec(CompressionCodec codec)
    {
        byte[] batch = Encode(Telemetry(100), codec);
        Assert.True(RecordBatchHeader.TryRead(batch, out RecordBatchHeader header, out _));
        Assert.Equal(codec, header.Codec);
    }

    [Theory]
    [MemberData(nameof(EachCodec), MemberType = typeof(SampleBatches))]
    public void Records_that_compression_would_enlarge_are_stored_plain(CompressionCodec codec)
    {
        byte[] noise = new byte[1000];
        new Random(1).NextBytes(noise);
        Record[] records = [new(1, null, noise)];
        Assert.Equal(Encode(records), Encode(records, codec));
    }

    [Fact]
    public void Record_past_the_largest_batch_is_refused_and_changes_nothing()
    {
        using var writer = new RecordBatchWriter();
        writer.Append(new Record(1, null, Bytes("first")));
        byte[] before = writer.Build().ToArray();

        Assert.Throws<RecordTooLargeException>(() => writer.Append(new Record(2, null, new byte[RecordBatchHeader.MaxBatchSize])));

        Assert.Equal(1, writer.RecordCount);
        Assert.Equal(before.Length, writer.EstimatedSize);
        Assert.Equal(before, writer.Build().ToArray());
    }

    [Fact]
    public void Batch_can_have_exactly_the_largest_size()
    {
        using var writer = new RecordBatchWriter();
        // 4 bytes for each of the two lengths, 5 for the single-byte fields around them.
        int most = RecordBatchHeader.MaxBatchSize - RecordBatchHeader.Size - 13;
        Assert.Throws<RecordTooLargeException>(() => writer.Append(new Record(1, null, new byte[most + 1])));
        writer.Append(new Record(1, null, new byte[most]));
        Assert.Equal(RecordBatchHeader.MaxBatchSize, writer.Build().Length);
        Assert.Single(Decode(writer.Build()));
    }

    [Fact]
    public void Record_with_too_many_headers_is_refused()
    {
        using var writer = new RecordBatchWriter();
        var headers = new RecordHeader[RecordBatchReader.MaxHeadersPerRecord + 1];
        Array.Fill(headers, new RecordHeader("", null));
        Assert.Throws<RecordTooLargeException>(() => writer.Append(new Record(0, 1, null, null, headers)));
        writer.Append(new Record(0, 1, null, null, headers[1..]));
        Assert.Equal(headers.Length - 1, Decode(writer.Build())[0].Headers.Count);
    }

    [Fact]
    public void Reset_starts_an_empty_batch()
    {
        using var writer = new RecordBatchWriter(CompressionCodec.Zstd);
        writer.Append(new Record(9000, Bytes("old"), null));
        writer.Reset();
        Assert.Equal((0, RecordBatchHeader.Size), (writer.RecordCount, writer.EstimatedSize));
        Assert.Throws<InvalidOperationException>(() => writer.Build());

        writer.Append(new Record(5, Bytes("new"), null));
        Assert.Equal(Encode([new(5, Bytes("new"), null)], CompressionCodec.Zstd), writer.Build().ToArray());
    }

    [Fact]
    public void Header_fields_of_an_idempotent_producer_are_written()
    {
        var options = new RecordBatchOptions
        {
            AttributeFlags = 0x10,
            PartitionLeaderEpoch = 7,
            ProducerId = 8,
            ProducerEpoch = 9,
            BaseSequence = 10,
        };
        using var writer = new RecordBatchWriter(options);
        writer.Append(new Record(1, null, null));
        Assert.True(RecordBatchHeader.TryRead(writer.Build().Span, out RecordBatchHeader header, out _));
        Assert.Equal(options, RecordBatchOptions.From(header));
    }

    [Fact]
    public void Appending_to_a_used_writer_allocates_nothing()
    {
        Record[] records = Telemetry(500);
        using var writer = new RecordBatchWriter();
        Assert.Equal(0, Allocated.Least(() =>
        {
            foreach (Record record in records)
                writer.Append(record);

            writer.Build();
            writer.Reset();
        }));
    }
}
