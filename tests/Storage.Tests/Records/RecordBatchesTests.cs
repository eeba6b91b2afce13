using EdgeStream.Storage.Records;
using static EdgeStream.Storage.Tests.Records.SampleBatches;

namespace EdgeStream.Storage.Tests.Records;

public class RecordBatchesTests
{
    [Fact]
    public void Split_gives_each_batch_whole()
    {
        byte[][] batches = [.. AllCodecs.Select((codec, i) => Encode(Telemetry(50), codec, baseOffset: i * 50))];
        var split = RecordBatches.Split(batches.SelectMany(b => b).ToArray()).ToList();

        Assert.Equal(batches, split.Select(s => s.Batch.ToArray()));
        Assert.Equal([0, 50, 100, 150, 200], split.Select(s => s.Header.BaseOffset));
        Assert.Equal(AllCodecs, split.Select(s => s.Header.Codec));
    }

    [Fact]
    public void Split_of_nothing_is_nothing() => Assert.Empty(RecordBatches.Split(default));

    [Fact]
    public void Split_gives_the_whole_batches_before_a_cut_one()
    {
        byte[] first = Encode(Telemetry(2));
        byte[] both = [.. first, .. Encode(Telemetry(3))];
        for (int length = first.Length + 1; length < both.Length; length++)
        {
            using var batches = RecordBatches.Split(both.AsMemory(0, length)).GetEnumerator();
            Assert.True(batches.MoveNext());
            Assert.Equal(first, batches.Current.Batch.ToArray());
            Assert.Throws<CorruptBatchException>(() => batches.MoveNext());
        }
    }
}
