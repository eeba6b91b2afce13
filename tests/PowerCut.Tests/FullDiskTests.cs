using EdgeStream.PowerCut.Writer;
using EdgeStream.Storage;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;

namespace EdgeStream.PowerCut.Tests;

public sealed class FullDiskTests
{
    private const int Mebibytes = 64;
    private const int Producers = 4;

    [Fact(Timeout = 300_000)]
    public async Task Tmpfs_that_others_fill_costs_no_acknowledged_record()
    {
        using var temp = new TempDirectory();
        using TinyFileSystem? disk = TinyFileSystem.TryMount(temp.Sub("disk"), Mebibytes * 1024);
        Assert.SkipWhen(disk is null, "mounting a file system needs root");
        await FillAndFreeAsync(disk.Path, new LogOptions { SegmentBytes = 256 * 1024 });
    }

    [Fact(Timeout = 300_000)]
    public async Task Ext4_that_others_fill_costs_no_acknowledged_record()
    {
        bool root = LoopFileSystem.TryCreate(Mebibytes, out LoopFileSystem? disk, out string reason);
        Assert.SkipUnless(root, reason);
        using (disk)
            await FillAndFreeAsync(disk!.Path, new LogOptions { SegmentBytes = 256 * 1024 });
    }

    [Fact(Timeout = 300_000)]
    public async Task Ext4_that_others_fill_is_outlived_by_a_topic_that_drops_its_oldest()
    {
        bool root = LoopFileSystem.TryCreate(Mebibytes, out LoopFileSystem? disk, out string reason);
        Assert.SkipUnless(root, reason);
        using (disk)
            await OutliveAsync(disk!.Path, new LogOptions { SegmentBytes = 256 * 1024 });
    }

    /// <summary>
    /// A log that rejects what it has no room for: appends go on while a foreign file takes the rest of the disk; once it has,
    /// every producer is refused; when the file is gone, the same log takes everything again.
    /// </summary>
    private static async Task FillAndFreeAsync(string disk, LogOptions options)
    {
        string directory = Path.Combine(disk, "log"), foreign = Path.Combine(disk, "foreign");
        await using (PartitionLog log = Open(directory, options))
        {
            await log.AppendAsync(Batches.Of("before"), AckLevel.Durable).InTimeAsync();
            Task filling = Task.Run(() => Fill(foreign));
            List<(long Offset, string Value)>[] kept = await Task.WhenAll(
                Enumerable.Range(0, Producers).Select(number => Task.Run(() => AppendUntilFullAsync(log, number, filling))));
            await filling;
            Assert.Null(log.Failure);
            AssertHolds(log, kept);

            File.Delete(foreign);
            for (int i = 0; i < 200; i++)
                await log.AppendAsync(Batches.Of(new RecordName(1, 0, i).ToValue()), AckLevel.Durable).InTimeAsync();

            AssertHolds(log, kept);
            Assert.Equal(Enumerable.Range(0, 200).Select(i => new RecordName(1, 0, i).ToValue()), Batches.ReadValues(log).TakeLast(200));
        }

        List<string> values;
        await using (PartitionLog reopened = Open(directory, options))
        {
            values = Batches.ReadValues(reopened);
            await reopened.AppendAsync(Batches.Of("after"), AckLevel.Durable).InTimeAsync();
        }

        Assert.Equal(new RecordName(1, 0, 199).ToValue(), values[^1]);
    }

    private static PartitionLog Open(string directory, LogOptions options, LogSettings? settings = null) => PartitionLog.Open(
        directory, () => PartitionManifest.CreateNew("power", 0, new Dictionary<string, string>()), options,
        settings: settings ?? WriterOptions.Settings);

    /// <summary>
    /// A log that drops its oldest: with the disk full of foreign files it goes on for ever inside its own, and what it drops is
    /// a gap.
    /// </summary>
    private static async Task OutliveAsync(string disk, LogOptions options)
    {
        const int Records = 4000;
        string directory = Path.Combine(disk, "log");
        var settings = new LogSettings { IsMirrored = true };
        await using PartitionLog log = Open(directory, options, settings);
        for (int i = 0; i < Records; i++)
        {
            if (i == Records / 4)
                Fill(Path.Combine(disk, "foreign"));

            await log.AppendAsync(Batches.Of($"{i} {new string('x', 1000)}"), AckLevel.Durable).InTimeAsync();
        }

        SortedDictionary<long, string> left = Batches.ReadRecords(log);
        Assert.Equal(Records, left.Count + log.Gaps.Sum(gap => gap.Records));
        Assert.All(left, record => Assert.StartsWith($"{record.Key} ", record.Value, StringComparison.Ordinal));
        Assert.Equal((0, GapReason.Overflow), (log.Gaps[0].First, log.Gaps[0].Reason));
        Assert.Null(log.Failure);
    }

    /// <summary>In large pieces, then in small ones, until the file system has not a block left.</summary>
    private static void Fill(string path)
    {
        using FileStream file = new(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0);
        foreach (int size in new[] { 256 * 1024, 1024 })
        {
            try
            {
                while (true)
                    file.Write(new byte[size]);
            }
            catch (IOException)
            {
            }
        }
    }

    /// <summary>What was acknowledged until the log refused, with the disk full for certain.</summary>
    private static async Task<List<(long Offset, string Value)>> AppendUntilFullAsync(PartitionLog log, int number, Task filling)
    {
        var kept = new List<(long, string)>();
        for (int i = 0; ; i++)
        {
            string value = new RecordName(0, number, i).ToValue();
            bool wasFull = filling.IsCompleted;
            try
            {
                AppendedRange range = await log.AppendAsync(Batches.Of(value), AckLevel.Durable).InTimeAsync();
                kept.Add((range.BaseOffset, value));
            }
            catch (StorageFullException) when (wasFull)
            {
                return kept;
            }
            catch (StorageFullException)
            {
            }
        }
    }

    private static void AssertHolds(PartitionLog log, IEnumerable<List<(long Offset, string Value)>> kept)
    {
        List<string> values = Batches.ReadValues(log, maxBytes: 1024 * 1024);
        Assert.All(kept.SelectMany(all => all), record => Assert.Equal(record.Value, values[(int)record.Offset]));
    }
}
