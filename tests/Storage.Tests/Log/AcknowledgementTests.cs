using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Log;

/// <summary>What an acknowledgement promises, seen while a sync is held up.</summary>
public sealed class AcknowledgementTests : LogTestBase
{
    private readonly ManualResetEventSlim _syncMayRun = new(false);

    [Fact]
    public async Task Durable_is_acknowledged_after_the_sync_and_written_before()
    {
        PartitionLog log = OpenWithHeldSync();
        Task<AppendedRange> durable = await log.EnqueueAsync(Batches.Of("a"), AckLevel.Durable);
        await log.AppendAsync(Batches.Of("b"), AckLevel.Written).InTimeAsync();
        Assert.False(durable.IsCompleted);
        Assert.Equal((0, 2), (log.Offsets.Durable, log.Offsets.End));
        Assert.Empty(Batches.ReadValues(log));

        _syncMayRun.Set();
        await durable.InTimeAsync();
        await log.WaitForDurableAsync(2, CancellationToken.None).InTimeAsync();
        Assert.Equal(["a", "b"], Batches.ReadValues(log));
    }

    [Fact]
    public async Task Mirrored_is_acknowledged_when_the_hub_has_it()
    {
        _syncMayRun.Set();
        PartitionLog log = OpenWithHeldSync();
        Task<AppendedRange> first = await log.EnqueueAsync(Batches.Of("a", "b"), AckLevel.Mirrored);
        await log.WaitForDurableAsync(2, CancellationToken.None).InTimeAsync();
        log.SetMirrored(1);
        Assert.False(first.IsCompleted);
        log.SetMirrored(2);
        await first.InTimeAsync();
        Assert.Equal(2, log.Offsets.Mirrored);
    }

    [Theory]
    [InlineData(8, 9, false)]
    [InlineData(8, 10, true)]
    [InlineData(12, 12, true)]
    [InlineData(14, 20, true)]
    [InlineData(15, 20, false)]
    public async Task Mirrored_is_an_error_where_any_of_the_records_was_dropped_and_durable_is_not(long first, long last, bool isLost)
    {
        var pending = new ByteBudget(30);
        var gaps = new KnownGaps([new Gap(first, last, 0, -1, -1, GapReason.Overflow, 0)], 1);
        var acknowledgements = new Acknowledgements(pending, new OffsetWatermark(30), () => gaps);
        Assert.Equal(10, (await WaitAsync(AckLevel.Durable)).BaseOffset);
        if (isLost)
            await Assert.ThrowsAsync<RecordsLostException>(() => WaitAsync(AckLevel.Mirrored));
        else
            Assert.Equal(10, (await WaitAsync(AckLevel.Mirrored)).BaseOffset);

        Assert.Equal(0, pending.Used);

        async Task<AppendedRange> WaitAsync(AckLevel ack)
        {
            await pending.AcquireAsync(30, CancellationToken.None).InTimeAsync();
            return await acknowledgements.WaitAsync(Task.FromResult(new AppendedRange(10, 14)), 30, ack, CancellationToken.None).InTimeAsync();
        }
    }

    [Fact]
    public async Task Hub_is_not_believed_beyond_what_is_durable_here()
    {
        PartitionLog log = OpenWithHeldSync();
        await log.AppendAsync(Batches.Of("a"), AckLevel.Written).InTimeAsync();
        log.SetMirrored(1);
        Assert.Equal(new LogOffsets(0, 0, 0, 1), log.Offsets);
        _syncMayRun.Set();
    }

    [Fact]
    public async Task Wait_for_the_hub_can_be_cancelled()
    {
        _syncMayRun.Set();
        PartitionLog log = OpenWithHeldSync();
        using var cancel = new CancellationTokenSource();
        Task<AppendedRange> append = await log.EnqueueAsync(Batches.Of("a"), AckLevel.Mirrored, cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => append.InTimeAsync());
        await log.WaitForDurableAsync(1, CancellationToken.None).InTimeAsync();
    }

    [Fact]
    public async Task Appends_that_come_during_a_sync_share_the_next_one()
    {
        PartitionLog log = OpenWithHeldSync(new LogOptions());
        int syncsBefore = Files.Syncs;
        Task<AppendedRange>[] appends = await Task.WhenAll(Enumerable.Range(0, 500)
            .Select(i => Task.Run(async () => await log.EnqueueAsync(Batches.Of($"{i}"), AckLevel.Durable))));
        await Eventually.HoldsAsync(() => log.Offsets.End == 500, "all are written");
        _syncMayRun.Set();
        AppendedRange[] ranges = await Task.WhenAll(appends).InTimeAsync();

        Assert.Equal(Enumerable.Range(0, 500).Select(i => (long)i), ranges.Select(range => range.BaseOffset).Order());
        Assert.InRange(Files.Syncs - syncsBefore, 1, 3);
    }

    [Fact]
    public async Task Order_of_one_caller_is_kept_under_backpressure()
    {
        PartitionLog log = OpenWithHeldSync(TinySegments with { MaxPendingBytes = 200 });
        Task<List<Task<AppendedRange>>> producing = Task.Run(async () =>
        {
            var appends = new List<Task<AppendedRange>>();
            for (int i = 0; i < 100; i++)
                appends.Add(await log.EnqueueAsync(Batches.Of($"{i}"), AckLevel.Durable));

            return appends;
        });
        await Eventually.HoldsAsync(() => log.Offsets.End > 0, "the first is written");
        Assert.False(producing.IsCompleted);
        Assert.InRange(log.Offsets.End, 1, 3);

        _syncMayRun.Set();
        AppendedRange[] ranges = await Task.WhenAll(await producing.InTimeAsync()).InTimeAsync();
        Assert.Equal(Enumerable.Range(0, 100).Select(i => (long)i), ranges.Select(range => range.BaseOffset));
        Assert.Equal(Enumerable.Range(0, 100).Select(i => $"{i}"), Batches.ReadValues(log));
    }

    [Fact]
    public async Task Caller_that_waits_for_room_can_give_up()
    {
        PartitionLog log = OpenWithHeldSync(TinySegments with { MaxPendingBytes = 1 });
        Task<AppendedRange> first = await log.EnqueueAsync(Batches.Of("a"), AckLevel.Durable);
        using var cancel = new CancellationTokenSource();
        Task<Task<AppendedRange>> given = log.EnqueueAsync(Batches.Of("given up"), AckLevel.Durable, cancel.Token).AsTask();
        Task<Task<AppendedRange>> next = log.EnqueueAsync(Batches.Of("b"), AckLevel.Durable).AsTask();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => given.InTimeAsync());

        _syncMayRun.Set();
        await first.InTimeAsync();
        await (await next.InTimeAsync()).InTimeAsync();
        Assert.Equal(["a", "b"], Batches.ReadValues(log));
    }

    private PartitionLog OpenWithHeldSync(LogOptions? options = null)
    {
        Files.BeforeSync = name => Assert.True(!name.EndsWith(".log", StringComparison.Ordinal) || _syncMayRun.Wait(Eventually.Deadline));
        return Open(options);
    }
}
