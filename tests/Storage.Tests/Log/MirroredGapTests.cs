using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Log;

public class MirroredGapTests : LogTestBase
{
    [Fact]
    public async Task Log_goes_on_behind_the_gap_and_readers_pass_over_it()
    {
        PartitionLog log = Open();
        await log.AppendAsync(Batches.Of("a", "b"), AckLevel.Durable);
        await TakeAsync(log, 2, 9);
        await TakeAsync(log, 10, 11);
        Assert.Equal(new LogOffsets(0, 0, 12, 12), log.Offsets);
        Assert.Equal(12, (await log.AppendAsync(Batches.Of("c"), AckLevel.Durable)).BaseOffset);
        await log.DisposeAsync();
        log = Open();
        Assert.Equal([(0L, "a"), (1L, "b"), (12L, "c")], Batches.ReadRecords(log).Select(record => (record.Key, record.Value)));
        Assert.Equal((2, 11), (Assert.Single(log.Gaps).First, log.Gaps[0].Last));
        Assert.Equal(13, log.FindOffsetByTime(long.MaxValue));
    }

    [Fact]
    public async Task Log_may_begin_with_a_gap()
    {
        PartitionLog log = Open();
        await TakeAsync(log, 0, 99);
        await log.AppendAsync(Batches.At(100, "a"), AckLevel.Durable);
        Assert.Equal("a", Batches.ReadRecords(log)[100]);
        await log.DisposeAsync();
        Assert.Equal("a", Batches.ReadRecords(Open())[100]);
    }

    [Fact]
    public async Task Gaps_that_follow_each_other_cost_few_segments_and_one_that_does_not_is_refused_alone()
    {
        PartitionLog log = Open();
        var taken = new List<Task<AppendedRange>>();
        for (int n = 0; n < 2000; n++)
        {
            var gap = new Gap(n, n, 0, -1, -1, n % 2 == 0 ? GapReason.Retention : GapReason.Overflow, 0);
            taken.Add(await log.EnqueueGapAsync(gap, CancellationToken.None));
        }

        Task<AppendedRange> beyond = await log.EnqueueGapAsync(new Gap(5000, 5001, 0, -1, -1, GapReason.Retention, 0), CancellationToken.None);
        Task<AppendedRange> next = await log.EnqueueGapAsync(new Gap(2000, 2001, 0, -1, -1, GapReason.Retention, 0), CancellationToken.None);
        await Task.WhenAll(taken);
        await Assert.ThrowsAsync<OffsetConflictException>(() => beyond);
        await next;
        Assert.Equal(new LogOffsets(0, 0, 2002, 2002), log.Offsets);
        Assert.Equal(2001, log.Gaps.Count);
        await log.AppendAsync(Batches.Of("a"), AckLevel.Durable);
        string directory = log.Directory;
        await log.DisposeAsync();
        Assert.InRange(Directory.GetFiles(directory, "*.log").Length, 1, 500);
        log = Open();
        Assert.Equal((2002L, "a"), Batches.ReadRecords(log).Select(record => (record.Key, record.Value)).Single());
        Assert.Equal(2001, log.Gaps.Count);
    }

    [Fact]
    public async Task Replay_changes_nothing_and_one_that_reaches_further_adds_the_rest()
    {
        PartitionLog log = Open();
        await log.AppendAsync(Batches.Of("a", "b", "c"), AckLevel.Durable);
        await TakeAsync(log, 0, 1);
        Assert.Empty(log.Gaps);
        await TakeAsync(log, 1, 5);
        await TakeAsync(log, 1, 5);
        Assert.Equal((3, 5), (Assert.Single(log.Gaps).First, log.Gaps[0].Last));
        Assert.Equal(3, Batches.ReadRecords(log).Count);
    }

    [Theory]
    [InlineData(4, 5)]
    [InlineData(-1, 5)]
    [InlineData(3, 2)]
    [InlineData(3, long.MaxValue)]
    public async Task Gap_that_cannot_be_is_refused(long first, long last)
    {
        PartitionLog log = Open();
        await log.AppendAsync(Batches.Of("a", "b", "c"), AckLevel.Durable);
        await Assert.ThrowsAnyAsync<EdgeStreamException>(() => TakeAsync(log, first, last));
        Assert.Empty(log.Gaps);
        Assert.Equal(3, (await log.AppendAsync(Batches.Of("d"), AckLevel.Durable)).BaseOffset);
    }

    private static async Task TakeAsync(PartitionLog log, long first, long last) =>
        await (await log.EnqueueGapAsync(new Gap(first, last, 0, -1, -1, GapReason.Overflow, 0))).InTimeAsync();
}
