using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Retention;
using EdgeStream.Storage.Tests.Log;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Retention;

public class RetentionTests : LogTestBase
{
    private const int Bound = 8 * 400;

    private static readonly LogSettings Bounded = new() { RetentionBytes = Bound, IsMirrored = true };

    private long _age;

    [Fact]
    public async Task Topic_stays_within_its_bound_and_what_it_drops_is_a_gap()
    {
        PartitionLog log = Open(settings: Bounded);
        for (int i = 0; i < 200; i++)
        {
            await FillAsync(log, 1, from: i);
            Assert.InRange(SegmentsIn(LogDirectory).Sum(path => new FileInfo(path).Length), 0, Bound);
        }

        LogOffsets offsets = log.Offsets;
        Gap gap = Assert.Single(log.Gaps);
        Assert.Equal((0, offsets.Start - 1, GapReason.Retention), (gap.First, gap.Last, gap.Reason));
        Assert.True(gap is { Bytes: > 1000, MinTimestamp: >= 0 } && gap.MaxTimestamp >= gap.MinTimestamp);
        Assert.Equal(offsets.End - offsets.Start, Batches.ReadRecords(log).Count);
        await log.DisposeAsync();
        Assert.Equal(gap, Assert.Single(Open(settings: Bounded).Gaps));
    }

    [Fact]
    public async Task What_the_hub_has_goes_without_a_gap()
    {
        PartitionLog log = Open(settings: Bounded);
        for (int i = 0; i < 100; i++)
        {
            await FillAsync(log, 1, from: i);
            log.SetMirrored(log.Offsets.Durable);
        }

        Assert.True(log.Offsets.Start > 0);
        Assert.Empty(log.Gaps);
    }

    [Fact]
    public async Task Segment_that_the_hub_has_half_leaves_a_gap_of_the_other_half()
    {
        PartitionLog log = Open(settings: Bounded);
        await FillAsync(log, 8);
        log.SetMirrored(5);
        await FillAsync(log, 80, from: 8);
        Assert.Equal(5, Assert.Single(log.Gaps).First);
    }

    [Fact]
    public async Task Rejecting_topic_keeps_what_the_hub_does_not_have_and_goes_on_when_it_does()
    {
        PartitionLog log = Open(settings: Bounded with { Overflow = OverflowPolicy.Reject });
        await Assert.ThrowsAsync<StorageFullException>(() => FillAsync(log, 1000));
        long end = log.Offsets.End;
        Assert.Equal((0L, end), (log.Offsets.Start, (long)Batches.ReadRecords(log).Count));
        Assert.Contains("rejects", log.FullReason, StringComparison.Ordinal);

        log.SetMirrored(end);
        await FillAsync(log, 20, from: 1000);
        Assert.Null(log.FullReason);
        Assert.Empty(log.Gaps);
        Assert.True(log.Offsets.Start > 0);
    }

    [Fact]
    public async Task Local_topic_forgets_by_its_bound_without_a_gap()
    {
        PartitionLog log = Open(settings: Bounded with { IsMirrored = false });
        await FillAsync(log, 200);
        Assert.True(log.Offsets.Start > 0);
        Assert.Empty(log.Gaps);
    }

    [Fact]
    public async Task Producer_that_waits_for_the_hub_is_told_when_its_record_was_dropped()
    {
        PartitionLog log = Open(settings: Bounded);
        Task<AppendedRange> waiting = await log.EnqueueAsync(Batches.Of("lost"), AckLevel.Mirrored);
        await FillAsync(log, 200);
        await Assert.ThrowsAsync<RecordsLostException>(() => waiting.InTimeAsync());
    }

    [Fact]
    public async Task Gap_is_durable_before_the_segment_goes()
    {
        PartitionLog log = Open(settings: Bounded);
        await FillAsync(log, 20);
        long start = log.Offsets.Start;
        Files.BeforeSync = name =>
        {
            if (name == GapLedger.FileName)
                throw FaultyFiles.DiskBroken();
        };
        await Assert.ThrowsAsync<LogFailedException>(() => FillAsync(log, 200, from: 20));
        Assert.Equal(start, log.Offsets.Start);
        Assert.Equal(start, SegmentsIn(LogDirectory).Select(path => long.Parse(Path.GetFileNameWithoutExtension(path))).First());
        Files.BeforeSync = null;
    }

    [Fact]
    public async Task Old_segments_go_by_the_age_clock_and_by_no_other()
    {
        LogSettings settings = new() { RetentionAge = TimeSpan.FromHours(1), IsMirrored = true };
        PartitionLog log = OpenAged(settings);
        await FillAsync(log, 20);
        long end = log.Offsets.End;
        log.ExpireByAge();
        Assert.Equal(0, log.Offsets.Start);

        // The open segment holds old records too: it is sealed, and goes with its time.
        _age += (long)TimeSpan.FromMinutes(61).TotalMilliseconds;
        log.ExpireByAge();
        await Eventually.HoldsAsync(
            () => log.Offsets.Start > 0 && SegmentsIn(LogDirectory) is [var old, _] && File.Exists(Path.ChangeExtension(old, ".index")),
            "the open segment is sealed, and its age noted");
        Assert.All(log.Gaps, gap => Assert.Equal(GapReason.Retention, gap.Reason));
        _age += (long)TimeSpan.FromMinutes(61).TotalMilliseconds;
        await Eventually.HoldsAsync(
            () =>
            {
                log.ExpireByAge();
                return log.Offsets.Start == end;
            },
            "all is dropped");
        Assert.Equal(end, log.Gaps.Sum(gap => gap.Records));
    }

    [Fact]
    public async Task Rejecting_topic_does_not_expire_what_the_hub_does_not_have()
    {
        PartitionLog log = OpenAged(new LogSettings { RetentionAge = TimeSpan.FromHours(1), IsMirrored = true, Overflow = OverflowPolicy.Reject });
        await FillAsync(log, 20);
        _age += (long)TimeSpan.FromDays(1).TotalMilliseconds;
        log.ExpireByAge();
        Assert.Equal(0, log.Offsets.Start);
        log.SetMirrored(log.Offsets.End);
        log.ExpireByAge();
        Assert.True(log.Offsets.Start > 0);
    }

    private PartitionLog OpenAged(LogSettings settings) => Opened(PartitionLog.Open(
        LogDirectory, () => PartitionManifest.CreateNew("readings", 0, new Dictionary<string, string>()), TinySegments, Files, settings,
        new LogResources { AgeClock = () => _age }));
}
