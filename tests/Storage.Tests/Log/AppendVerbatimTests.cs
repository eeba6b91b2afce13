using EdgeStream.Storage.Log;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Log;

public class AppendVerbatimTests : LogTestBase
{
    [Fact]
    public async Task Batches_that_continue_the_log_keep_their_bytes_and_offsets()
    {
        PartitionLog log = Open();
        byte[] batches = [.. Batches.At(0, "a", "b"), .. Batches.At(2, "c")];
        Assert.Equal(new AppendedRange(0, 2), await AppendAsync(log, batches));
        Assert.Equal(batches, (await File.ReadAllBytesAsync(SegmentsIn(LogDirectory)[0]))[..batches.Length]);
    }

    [Fact]
    public async Task Replay_changes_nothing()
    {
        PartitionLog log = Open();
        List<string> values = await FillAsync(log, 20);
        IReadOnlyDictionary<string, string> before = TempDirectory.Snapshot(LogDirectory);
        using LogReader reader = log.OpenReader(0);
        while (reader.Read(1) is { IsEmpty: false } slice)
            await AppendAsync(log, slice.Batches.ToArray());

        Assert.Equal(before, TempDirectory.Snapshot(LogDirectory));
        Assert.Equal(values, Batches.ReadValues(log));
    }

    [Fact]
    public async Task Replay_that_goes_on_past_the_end_appends_the_rest()
    {
        PartitionLog log = Open();
        await AppendAsync(log, Batches.At(0, "a", "b"));
        Assert.Equal(new AppendedRange(0, 2), await AppendAsync(log, [.. Batches.At(0, "a", "b"), .. Batches.At(2, "c")]));
        Assert.Equal(["a", "b", "c"], Batches.ReadValues(log));
    }

    [Theory]
    [InlineData(4)]
    [InlineData(1)]
    [InlineData(1000)]
    public async Task Gap_or_overlap_is_a_conflict_and_changes_nothing(long offset)
    {
        PartitionLog log = Open();
        await AppendAsync(log, Batches.At(0, "a", "b", new string('x', 300)));
        IReadOnlyDictionary<string, string> before = TempDirectory.Snapshot(LogDirectory);
        var conflict = await Assert.ThrowsAsync<OffsetConflictException>(() => AppendAsync(log, Batches.At(offset, "y", "y", "y", "y")));
        Assert.Equal(3, conflict.Expected);
        Assert.Equal(before, TempDirectory.Snapshot(LogDirectory));
        await AppendAsync(log, Batches.At(3, "d"));
        Assert.Equal(4, Batches.ReadValues(log).Count);
    }

    [Fact]
    public async Task Batch_of_two_billion_offsets_does_not_confuse_lookups()
    {
        PartitionLog log = Open(new LogOptions { IndexIntervalBytes = 1 });
        long offset = 0;
        for (int i = 0; i < 4; i++, offset += int.MaxValue)
        {
            var header = new Storage.Records.RecordBatchHeader(offset, 0, 0, 0, 0, int.MaxValue - 1, 0, 0, -1, -1, -1, int.MaxValue);
            await AppendAsync(log, Records.SampleBatches.ForgeCompressed(header, []));
        }

        for (long from = 0; from < offset; from += int.MaxValue / 3)
        {
            using LogReader reader = log.OpenReader(from);
            using LogSlice slice = reader.Read(1);
            Assert.Equal(from / int.MaxValue * int.MaxValue, slice.BaseOffset);
        }
    }

    private static async Task<AppendedRange> AppendAsync(PartitionLog log, byte[] batches) =>
        await (await log.EnqueueVerbatimAsync(batches, AckLevel.Durable)).InTimeAsync();
}
