using EdgeStream.Cluster.Engines;
using EdgeStream.Cluster.Topology;
using EdgeStream.Harness;
using EdgeStream.Storage;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using EdgeStream.Storage.Retention;
using EdgeStream.Storage.Time;
using EdgeStream.Testing;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Cluster.Tests.Engines;

/// <summary>What a partition's log promises, whichever engine keeps it. Each engine's tests are these.</summary>
public abstract class PartitionLogContract : IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();
    private EngineUnderTest _engine = null!;

    private protected virtual int Replicas => 1;

    private IPartitionLog Log => _engine.Log;

    private protected abstract Task<Func<string, IPartitionEngine>> PrepareAsync();

    public async ValueTask InitializeAsync()
    {
        _engine = new EngineUnderTest(
            _directory.Path, Guid.NewGuid().ToString("N"), new TopicSettings(Mirror: true) { Replicas = Replicas }, await PrepareAsync());
        await _engine.OpenAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _engine.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task Offsets_are_dense_and_records_are_read_as_they_were_appended()
    {
        Assert.Equal(new LogOffsets(0, 0, 0, 0), Log.Offsets);
        Assert.Equal(new AppendedRange(0, 1), await Log.AppendAsync(Batches.Of("a", "b"), AckLevel.Durable));
        Assert.Equal(new AppendedRange(2, 4), await Log.AppendAsync(new byte[][] { Batches.Of("c"), Batches.Of("d", "e") }.SelectMany(batch => batch).ToArray(), AckLevel.Written));
        await Log.WaitForDurableAsync(5, CancellationToken.None).InTimeAsync();
        Assert.Equal(["a", "b", "c", "d", "e"], await Batches.ReadValuesAsync(Log));
        Assert.Equal(["d", "e"], await Batches.ReadValuesAsync(Log, from: 3));
        Assert.Equal(5, Log.Offsets.End);
        Assert.Throws<OffsetOutOfRangeException>(() => Log.OpenReader(6));
    }

    [Fact]
    public async Task Many_producers_at_once_get_an_offset_each_and_keep_their_order()
    {
        const int Producers = 8, Each = 100;
        await Task.WhenAll(Enumerable.Range(0, Producers).Select(async producer =>
        {
            var acknowledged = new List<Task<AppendedRange>>();
            for (int i = 0; i < Each; i++)
                acknowledged.Add(await Log.EnqueueAsync(Batches.Of($"{producer} {i}"), AckLevel.Durable));

            AppendedRange[] ranges = await Task.WhenAll(acknowledged);
            Assert.Equal(ranges.OrderBy(range => range.BaseOffset), ranges);
        })).InTimeAsync();

        List<string> values = await Batches.ReadValuesAsync(Log);
        Assert.Equal(Producers * Each, values.Count);
        for (int producer = 0; producer < Producers; producer++)
            Assert.Equal(Enumerable.Range(0, Each).Select(i => $"{producer} {i}"), values.Where(value => value.StartsWith($"{producer} ", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Verbatim_batches_keep_their_offsets_and_bytes_and_a_replay_changes_nothing()
    {
        byte[] first = Batches.At(0, "a", "b"), second = Batches.At(2, "c");
        await AppendVerbatimAsync(first);
        await AppendVerbatimAsync([.. first, .. second]);
        await AppendVerbatimAsync(second);
        var conflict = await Assert.ThrowsAsync<OffsetConflictException>(() => AppendVerbatimAsync(Batches.At(4, "e")));
        Assert.Equal(3, conflict.Expected);
        using IPartitionReader reader = Log.OpenReader(0);
        using LogSlice slice = await reader.ReadAsync(64 * 1024);
        byte[] read = [.. slice.Batches.Span];
        if (read.Length == first.Length)
        {
            using LogSlice rest = await reader.ReadAsync(64 * 1024);
            read = [.. read, .. rest.Batches.Span];
        }

        Assert.Equal([.. first, .. second], read);
        Assert.Equal(3, Log.Offsets.Durable);
    }

    [Fact]
    public async Task Damaged_batch_is_refused_and_nothing_is_stored()
    {
        byte[] batch = Batches.Of("a");
        batch[^1] ^= 1;
        await Assert.ThrowsAsync<CorruptBatchException>(() => Log.AppendAsync(batch, AckLevel.Durable).AsTask());
        Assert.Equal(0, Log.Offsets.End);
    }

    [Fact]
    public async Task Gaps_stay_in_the_order_of_offsets_and_survive()
    {
        await AppendVerbatimAsync(Batches.At(0, "a", "b"));
        await AppendGapAsync(2, 9);
        await AppendVerbatimAsync(Batches.At(10, "c"));
        await AppendGapAsync(2, 9);
        await AppendGapAsync(5, 10);
        await Assert.ThrowsAsync<OffsetConflictException>(() => AppendGapAsync(12, 13));
        await AppendGapAsync(9, 14);
        await CheckAsync();
        await _engine.ReopenAsync();
        await CheckAsync();
        await AppendVerbatimAsync(Batches.At(15, "d"));
        Assert.Equal(["a", "b", "c", "d"], await Batches.ReadValuesAsync(Log));

        async Task CheckAsync()
        {
            Assert.Equal([(2, 9), (11, 14)], Log.Gaps.Select(gap => (gap.First, gap.Last)));
            Assert.All(Log.Gaps, gap => Assert.Equal((GapReason.Overflow, 77L), (gap.Reason, gap.MinTimestamp)));
            Assert.Equal((15, 12L), (Log.Offsets.End, Log.LostRecordsFrom(0)));
            Assert.Equal(2, Log.FindGap(7)!.First);
            Assert.Null(Log.FindGap(10));
            Assert.Equal(["a", "b", "c"], await Batches.ReadValuesAsync(Log));
            Assert.Equal(["c"], await Batches.ReadValuesAsync(Log, from: 4));
        }
    }

    [Fact]
    public async Task Reader_waits_for_what_is_durable_and_stops_where_it_is_told_to()
    {
        using IPartitionReader reader = Log.OpenReader(0);
        using (LogSlice nothing = await reader.ReadAsync(1024))
            Assert.True(nothing.IsEmpty);

        Task waiting = reader.WaitAsync(CancellationToken.None).AsTask();
        Assert.False(waiting.IsCompleted);
        await Log.AppendAsync(Batches.Of("a"), AckLevel.Durable);
        await waiting.InTimeAsync();
        await Log.AppendAsync(Batches.Of("b", "c"), AckLevel.Durable);
        using (LogSlice first = await reader.ReadAsync(64 * 1024, endOffset: 1))
            Assert.Equal(["a"], Batches.ValuesOf(first, 0));

        using (LogSlice none = await reader.ReadAsync(64 * 1024, endOffset: 1))
            Assert.True(none.IsEmpty);

        Assert.Equal(1, reader.NextOffset);
        using LogSlice second = await reader.ReadAsync(1);
        Assert.Equal(["b", "c"], Batches.ValuesOf(second, 1));
    }

    [Fact]
    public async Task Record_is_found_by_its_time_though_times_go_back()
    {
        foreach (long[] times in (long[][])[[100, 300], [200], [250, 500, 400], [450], [900]])
            await Log.AppendAsync(Batches.Stamped(times), AckLevel.Durable);

        await FindAsync();
        await _engine.ReopenAsync();
        await FindAsync();

        async Task FindAsync()
        {
            Assert.Equal(0, await Log.FindOffsetByTimeAsync(0, CancellationToken.None));
            Assert.Equal(1, await Log.FindOffsetByTimeAsync(101, CancellationToken.None));
            Assert.Equal(4, await Log.FindOffsetByTimeAsync(301, CancellationToken.None));
            Assert.Equal(7, await Log.FindOffsetByTimeAsync(501, CancellationToken.None));
            Assert.Equal(8, await Log.FindOffsetByTimeAsync(901, CancellationToken.None));
        }
    }

    [Fact]
    public async Task Batch_that_is_sent_again_is_not_stored_twice_reopened_or_not()
    {
        byte[] first = Numbered(0, "a", "b"), second = Numbered(2, "c");
        await Log.AppendAsync(first, AckLevel.Durable);
        await Log.AppendAsync(second, AckLevel.Durable);
        Assert.Equal(new AppendedRange(0, 1), await Log.AppendAsync(first, AckLevel.Durable));
        await _engine.ReopenAsync();
        Assert.Equal(new AppendedRange(0, 2), await Log.AppendAsync((byte[])[.. first, .. second], AckLevel.Durable));
        await Assert.ThrowsAsync<SequenceConflictException>(() => Log.AppendAsync(Numbered(4, "e"), AckLevel.Durable).AsTask());
        Assert.Equal(new AppendedRange(3, 3), await Log.AppendAsync(Numbered(3, "d"), AckLevel.Durable));
        Assert.Equal(["a", "b", "c", "d"], await Batches.ReadValuesAsync(Log));
    }

    [Fact]
    public async Task Reopened_log_goes_on_where_it_ended_and_is_the_same()
    {
        Guid incarnation = Log.Manifest.Incarnation;
        await Log.SaveSettingsAsync(new Dictionary<string, string?> { ["edge-incarnation"] = "x", ["other"] = "y" });
        await Log.SaveSettingsAsync(new Dictionary<string, string?> { ["other"] = null });
        Log.Clock.Adopt(Anchors());
        for (int i = 0; i < 3; i++)
        {
            await Log.AppendAsync(Batches.Of($"{i}"), AckLevel.Durable);
            await _engine.ReopenAsync();
        }

        Assert.Equal(incarnation, Log.Manifest.Incarnation);
        Assert.Equal("x", Log.Manifest.Settings["edge-incarnation"]);
        Assert.False(Log.Manifest.Settings.ContainsKey("other"));
        Assert.Equal(1_700_000_000_000, Log.Clock.History.Anchors[^1].Reading.Wall);
        Assert.Equal(new LogOffsets(0, 0, 3, 3) with { Mirrored = Log.Offsets.Mirrored }, Log.Offsets);
        Assert.Equal(["0", "1", "2"], await Batches.ReadValuesAsync(Log));
    }

    [Fact]
    public async Task Deleted_partition_does_not_come_back()
    {
        Guid incarnation = Log.Manifest.Incarnation;
        await Log.AppendAsync(Batches.Of("a"), AckLevel.Durable);
        await _engine.DeleteAsync();
        await _engine.OpenAsync();
        Assert.NotEqual(incarnation, Log.Manifest.Incarnation);
        Assert.Equal(new LogOffsets(0, 0, 0, 0), Log.Offsets);
        Assert.Equal(new AppendedRange(0, 0), await Log.AppendAsync(Batches.Of("b"), AckLevel.Durable));
    }

    [Fact]
    public async Task Full_log_refuses_and_goes_on_when_there_is_room()
    {
        await Log.ChangeSettingsAsync(new LogSettings { RetentionBytes = 128 * 1024, Overflow = OverflowPolicy.Reject });
        var acknowledged = new List<Task<AppendedRange>>();
        for (int i = 0; i < 64; i++)
            acknowledged.Add(await Log.EnqueueAsync(Batches.Of($"{i}", new string('x', 10_000)), AckLevel.Durable));

        await Task.WhenAll(acknowledged).ContinueWith(_ => { }, TaskScheduler.Default).InTimeAsync();
        do
        {
            acknowledged.Add(await Log.EnqueueAsync(Batches.Of("more", new string('x', 10_000)), AckLevel.Durable));
            await Task.WhenAny(acknowledged[^1]).InTimeAsync();
        }
        while (acknowledged[^1].IsCompletedSuccessfully);

        Task<AppendedRange>[] stored = [.. acknowledged.Where(append => append.IsCompletedSuccessfully)];
        Assert.NotEmpty(stored);
        Assert.All(acknowledged.Except(stored), append => Assert.IsType<StorageFullException>(append.Exception!.InnerException));
        Assert.Contains("no room", Log.Problem, StringComparison.Ordinal);
        Assert.Null(Log.Failure);

        await Log.ChangeSettingsAsync(new LogSettings { RetentionBytes = 16 * 1024 * 1024, Overflow = OverflowPolicy.Reject });
        AppendedRange last = await Log.AppendAsync(Batches.Of("last"), AckLevel.Durable);
        Assert.Null(Log.Problem);
        List<string> values = await Batches.ReadValuesAsync(Log);
        Assert.Equal("last", values[(int)last.BaseOffset]);
        Assert.Equal(2 * stored.Length + 1, values.Count);
    }

    [Fact]
    public async Task Large_batch_comes_back_as_it_was_and_many_fill_no_memory()
    {
        byte[] large = new byte[600_000];
        Random.Shared.NextBytes(large);
        byte[] batch = Batches.Build(0, CompressionCodec.None, [new Record(1, null, large)]);
        for (int i = 0; i < 12; i++)
            await Log.AppendAsync(batch, AckLevel.Durable);

        using IPartitionReader reader = Log.OpenReader(0);
        for (int i = 0; i < 12; i++)
        {
            using LogSlice slice = await reader.ReadAsync(64 * 1024);
            Assert.Equal((i, batch.Length), (slice.BaseOffset, slice.Batches.Length));
            Assert.True(slice.Batches.Span[RecordBatchHeader.LengthPrefixSize..].SequenceEqual(batch.AsSpan(RecordBatchHeader.LengthPrefixSize)));
        }

        Assert.InRange(Log.SizeInBytes(), 12 * 600_000, 13 * 600_000);
        Assert.InRange(Log.BytesFrom(6), 5 * 600_000, 7 * 600_000);
    }

    [Fact]
    public async Task What_is_appended_without_waiting_is_all_there_after_closing()
    {
        for (int i = 0; i < 500; i++)
            _ = await Log.EnqueueAsync(Batches.Of($"{i}"), AckLevel.Written);

        await _engine.ReopenAsync();
        Assert.Equal(Enumerable.Range(0, 500).Select(i => $"{i}"), await Batches.ReadValuesAsync(Log));
        Assert.Equal(["250"], (await Batches.ReadValuesAsync(Log, from: 250)).Take(1));
    }

    [Fact]
    public async Task Closed_log_says_so()
    {
        IPartitionLog log = Log;
        using IPartitionReader reader = log.OpenReader(0);
        Task waiting = reader.WaitAsync(CancellationToken.None).AsTask();
        await _engine.CloseAsync();
        await Assert.ThrowsAsync<LogClosedException>(() => waiting.InTimeAsync());
        await Assert.ThrowsAsync<LogClosedException>(() => log.AppendAsync(Batches.Of("a"), AckLevel.Durable).AsTask());
    }

    private static byte[] Numbered(int sequence, params string[] values)
    {
        using var writer = new RecordBatchWriter(new RecordBatchOptions { ProducerId = 7, ProducerEpoch = 0, BaseSequence = sequence });
        foreach (string value in values)
            writer.Append(new Record(1, null, System.Text.Encoding.UTF8.GetBytes(value)));

        return writer.Build(0).ToArray();
    }

    private static byte[] Anchors()
    {
        byte[] anchor = new byte[ClockAnchor.Size];
        new ClockAnchor(0, new ClockReading(Guid.NewGuid(), 1000, 1_700_000_000_000, Synchronised: true)).Write(anchor);
        return anchor;
    }

    private async Task AppendVerbatimAsync(byte[] batches) =>
        await (await Log.EnqueueVerbatimAsync(batches, AckLevel.Durable)).InTimeAsync();

    private async Task AppendGapAsync(long first, long last) =>
        await (await Log.EnqueueGapAsync(new Gap(first, last, 10, 77, 88, GapReason.Overflow, 99))).InTimeAsync();
}
