using System.Runtime.CompilerServices;
using EdgeStream.Storage.Records;
using static EdgeStream.Storage.Tests.Records.SampleBatches;

namespace EdgeStream.Storage.Tests.Records.GoldenBatches;

/// <summary>
/// Batches that librdkafka made: those in tests/golden/kafka, which pin the format, and fresh ones on every run, which
/// show that the files are still what a client sends. How the files were made stands in tests/golden/README.md.
/// </summary>
public class GoldenBatchTests
{
    private const string Topic = "golden";

    [Theory]
    [MemberData(nameof(EachCodec), MemberType = typeof(SampleBatches))]
    public void Golden_file_has_the_known_records(CompressionCodec codec) => CheckRecords(codec, ReadGolden(codec));

    [Theory]
    [MemberData(nameof(EachCodec), MemberType = typeof(SampleBatches))]
    public void Fresh_batch_of_librdkafka_has_the_known_records(CompressionCodec codec) => CheckRecords(codec, MakeWithLibrdkafka(codec));

    [Theory]
    [MemberData(nameof(EachCodec), MemberType = typeof(SampleBatches))]
    public void Golden_file_is_encoded_again_to_the_same(CompressionCodec codec) => CheckEncodedAgain(ReadGolden(codec));

    [Theory]
    [MemberData(nameof(EachCodec), MemberType = typeof(SampleBatches))]
    public void Fresh_batch_of_librdkafka_is_encoded_again_to_the_same(CompressionCodec codec) =>
        CheckEncodedAgain(MakeWithLibrdkafka(codec));

    [Fact]
    public void Golden_files_pass_verbatim_through_a_split()
    {
        byte[][] golden = [.. AllCodecs.Select(ReadGolden)];
        var split = RecordBatches.Split(golden.SelectMany(b => b).ToArray());
        Assert.Equal(golden, split.Select(s => s.Batch.ToArray()));
    }

    [Theory]
    [MemberData(nameof(EachCodec), MemberType = typeof(SampleBatches))]
    public void Batch_of_this_project_is_read_by_librdkafka(CompressionCodec codec)
    {
        using var kafka = new MockKafka(CompressionCodec.None);
        var broker = kafka.CreateTopic(Topic);
        byte[] first = Encode(GoldenRecords.All, codec);
        byte[] second = Encode(Telemetry(3000), codec);
        Assert.True(RecordBatchHeader.TryRead(first, out RecordBatchHeader header, out _));
        Assert.Equal(codec, header.Codec);
        using (var connection = new RawKafkaConnection(broker))
        {
            connection.Produce(Topic, first);
            connection.Produce(Topic, second);
        }

        int count = GoldenRecords.All.Length;
        List<Record> read = MockKafka.Consume(broker, Topic, count + 3000);

        RecordAssert.Equal(GoldenRecords.All, read[..count]);
        RecordAssert.Equal([.. Telemetry(3000).Select(r => r with { Offset = count + r.Offset })], read[count..]);
    }

    /// <summary>Not part of a run: writes the golden files anew, after a change of <see cref="GoldenRecords"/>.</summary>
    [Theory(Explicit = true)]
    [MemberData(nameof(EachCodec), MemberType = typeof(SampleBatches))]
    public void Write_golden_file(CompressionCodec codec) =>
        File.WriteAllBytes(Path.Combine(SourceFolder(), "../../../golden/kafka", FileName(codec)), MakeWithLibrdkafka(codec));

    private static void CheckRecords(CompressionCodec codec, byte[] batch)
    {
        Assert.True(RecordBatchHeader.TryRead(batch, out RecordBatchHeader header, out _));
        Assert.Equal(codec, header.Codec);
        Assert.Equal(GoldenRecords.All.Max(r => r.Timestamp), header.MaxTimestamp);
        RecordAssert.Equal(GoldenRecords.All, Decode(batch));
    }

    // Compressors of different libraries make different bytes of the same records, so that only an uncompressed batch
    // can be the same as a whole. Of the others, everything else is.
    private static void CheckEncodedAgain(byte[] batch)
    {
        Assert.True(RecordBatchHeader.TryRead(batch, out RecordBatchHeader header, out _));
        byte[] again = Encode(Decode(batch), RecordBatchOptions.From(header), header.BaseOffset);
        Assert.True(RecordBatchHeader.TryRead(again, out RecordBatchHeader headerAgain, out _));

        Assert.Equal(header, headerAgain with { BatchLength = header.BatchLength, Crc = header.Crc });
        Assert.Equal(Section(batch), Section(again));
        if (header.Codec == CompressionCodec.None)
            Assert.Equal(batch, again);
    }

    private static byte[] MakeWithLibrdkafka(CompressionCodec codec)
    {
        using var kafka = new MockKafka(codec);
        var broker = kafka.CreateTopic(Topic);
        kafka.Produce(Topic, GoldenRecords.All);
        using var connection = new RawKafkaConnection(broker);
        return connection.Fetch(Topic);
    }

    private static byte[] ReadGolden(CompressionCodec codec) =>
        File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "golden/kafka", FileName(codec)));

    private static string FileName(CompressionCodec codec) => $"{codec.ToString().ToLowerInvariant()}.batch";

    private static string SourceFolder([CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;
}
