using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Retention;
using EdgeStream.Storage.Tests.Log;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Retention;

public class DiskBudgetTests : LogTestBase
{
    private const int Limit = 64 * 1024;

    private readonly DiskBudget _budget = new(Limit);
    private readonly LogCleaner _cleaner;

    public DiskBudgetTests() => _cleaner = new LogCleaner(_budget);

    private static readonly LogOptions Options = new() { SegmentBytes = 4096, PreallocateBytes = 4096, IndexIntervalBytes = 512 };

    [Fact]
    public async Task Logs_never_use_more_than_the_budget_and_count_what_is_on_the_disk()
    {
        PartitionLog[] logs = [.. Enumerable.Range(0, 3).Select(i => OpenLog($"log-{i}", new LogSettings { IsMirrored = i == 0 }))];
        for (int i = 0; i < 600; i++)
        {
            await logs[i % 3].AppendAsync(Batches.Of(new string('x', 400)), AckLevel.Durable).InTimeAsync();
            Assert.InRange(_budget.Used, 0, Limit);
        }

        foreach (PartitionLog log in logs)
            await log.DisposeAsync();

        // What the logs count is what the directories hold, apart from the two small files that are not a log's to count.
        Assert.Equal(0, _budget.Used);
        foreach (PartitionLog log in logs)
            OpenLog(Path.GetFileName(log.Directory), new LogSettings());

        Assert.Equal(_budget.Used, Directory.GetFiles(Temp.Path, "*", SearchOption.AllDirectories)
            .Where(path => Path.GetFileName(path) is not (PartitionManifest.FileName or LogCheckpoint.FileName))
            .Sum(path => new FileInfo(path).Length));
    }

    [Fact]
    public async Task What_the_hub_has_goes_before_anything_else()
    {
        PartitionLog mirrored = OpenLog("mirrored", new LogSettings { IsMirrored = true });
        PartitionLog other = OpenLog("other", new LogSettings { IsMirrored = true });
        for (int i = 0; i < 40; i++)
            await mirrored.AppendAsync(Batches.Of(new string('x', 400)), AckLevel.Durable).InTimeAsync();

        mirrored.SetMirrored(mirrored.Offsets.Durable);
        for (int i = 0; i < 100; i++)
            await other.AppendAsync(Batches.Of(new string('x', 400)), AckLevel.Durable).InTimeAsync();

        Assert.True(mirrored.Offsets.Start > 0);
        Assert.Empty(mirrored.Gaps);
        Assert.Equal((0, 0), (other.Offsets.Start, other.Gaps.Count));
    }

    [Fact]
    public async Task Rejecting_logs_are_told_and_take_records_again_when_there_is_room()
    {
        PartitionLog log = OpenLog("log", new LogSettings { IsMirrored = true, Overflow = OverflowPolicy.Reject });
        int stored = 0;
        StorageFullException full = await Assert.ThrowsAsync<StorageFullException>(async () =>
        {
            for (; ; stored++)
                await log.AppendAsync(Batches.Of(new string('x', 400)), AckLevel.Durable).InTimeAsync();
        });
        Assert.Contains($"{Limit}", full.Message, StringComparison.Ordinal);
        Assert.Equal(stored, Batches.ReadValues(log).Count);
        log.SetMirrored(log.Offsets.Durable);
        await log.AppendAsync(Batches.Of(new string('x', 400)), AckLevel.Durable).InTimeAsync();
    }

    [Fact]
    public async Task Directory_beyond_the_budget_is_brought_back_within_it()
    {
        PartitionLog log = OpenLog("log", new LogSettings { IsMirrored = true });
        for (int i = 0; i < 100; i++)
            await log.AppendAsync(Batches.Of(new string('x', 400)), AckLevel.Durable).InTimeAsync();

        _budget.Other = Limit / 2;
        _cleaner.Clean((_, error) => throw error);
        Assert.InRange(_budget.Used, 0, Limit);
        Assert.All(log.Gaps, gap => Assert.Equal(GapReason.Overflow, gap.Reason));
        Assert.NotEmpty(log.Gaps);
    }

    [Theory]
    [InlineData(OverflowPolicy.DropOldest)]
    [InlineData(OverflowPolicy.Reject)]
    public async Task Disk_that_others_fill_is_borne_as_the_topic_says(OverflowPolicy overflow)
    {
        using TinyFileSystem? disk = TinyFileSystem.TryMount(Temp.Sub("disk"), kibibytes: 256);
        Assert.SkipWhen(disk is null, "mounting a file system needs root");
        string directory = Path.Combine(disk.Path, "log");
        PartitionLog log = Open(
            new LogOptions { SegmentBytes = 16 * 1024, PreallocateBytes = 16 * 1024 }, directory,
            settings: new LogSettings { IsMirrored = true, Overflow = overflow });
        for (int i = 0; i < 64; i++)
            await AppendAsync(log, i);

        string ballast = Path.Combine(disk.Path, "ballast");
        Fill(ballast);
        int next = 64;
        if (overflow == OverflowPolicy.DropOldest)
        {
            // Its own files are enough to go on for ever.
            for (; next < 400; next++)
                await AppendAsync(log, next);

            Assert.Equal((0, GapReason.Overflow), (log.Gaps[0].First, log.Gaps[0].Reason));
        }
        else
        {
            await Assert.ThrowsAsync<StorageFullException>(async () =>
            {
                for (; next < 400; next++)
                    await AppendAsync(log, next);
            });
            Assert.True(next > 64, "what was allocated beforehand is used");
            Assert.NotNull(log.FullReason);
            File.Delete(ballast);
            await AppendAsync(log, next++);
            Assert.Null(log.FullReason);
            Assert.Empty(log.Gaps);
        }

        SortedDictionary<long, string> stored = Batches.ReadRecords(log);
        Assert.Equal(next, stored.Count + log.Gaps.Sum(gap => gap.Records));
        Assert.All(stored, record => Assert.StartsWith($"{record.Key} ", record.Value, StringComparison.Ordinal));
        await log.DisposeAsync();
        Assert.Equal(stored, Batches.ReadRecords(Open(directory: directory)));
    }

    private static async Task AppendAsync(PartitionLog log, int i) =>
        await log.AppendAsync(Batches.Of($"{i} {new string('x', 1000)}"), AckLevel.Durable).InTimeAsync();

    private static void Fill(string path)
    {
        using FileStream file = File.Create(path);
        try
        {
            while (true)
            {
                file.Write(new byte[4096]);
                file.Flush();
            }
        }
        catch (IOException)
        {
            // Full, as it is meant to be.
        }
    }

    private PartitionLog OpenLog(string name, LogSettings settings)
    {
        PartitionLog log = Opened(PartitionLog.Open(
            Temp.Sub(name), () => PartitionManifest.CreateNew(name, 0, new Dictionary<string, string>()), Options, Files, settings,
            new LogResources { Budget = _budget }));
        _cleaner.Add(log);
        return log;
    }
}
