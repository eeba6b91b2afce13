using EdgeStream.Harness;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Log;

namespace EdgeStream.Benchmarks;

/// <summary>The log in this process, against plain writes of the same bytes to the same disk.</summary>
internal static class AppendBenchmark
{
    private const int Runs = 5;
    private const int Producers = 64;

    // Nothing is synced before the end of a segment, as nothing that was written has to be.
    private static readonly LogSettings Os = new() { Sync = SyncPolicy.Os };

    // No segment ends within a run.
    private static readonly LogOptions OneSegment = new() { SegmentBytes = 512 * 1024 * 1024, PreallocateBytes = 512 * 1024 * 1024 };

    public static async Task RunAsync(Report report)
    {
        await WrittenAsync(report, "in one segment", OneSegment, records: 200_000);
        await WrittenAsync(report, "in segments of 8 MiB", LogOptions.Default, records: 200_000);
        await DurableAsync(report);
        await RateAsync(report, "disk", Path.GetTempPath());
        if (Directory.Exists("/dev/shm"))
            await RateAsync(report, "memory", "/dev/shm");
    }

    private static async Task WrittenAsync(Report report, string where, LogOptions options, int records)
    {
        using var directory = new TemporaryDirectory();
        List<ReadOnlyMemory<byte>> batches = LogWorkload.Build(Payload.OfSize(1024), records);
        long bytes = batches.Sum(batch => (long)batch.Length);
        int run = 0;
        (TimeSpan log, TimeSpan plain) = await Report.MedianPairAsync(
            Runs,
            async () =>
            {
                string path = directory.At($"log-{run}");
                await using PartitionLog log = LogWorkload.Open(path, settings: Os, options: options);
                return await Report.TimeAsync(() => LogWorkload.AppendBuiltAsync(log, batches, AckLevel.Written));
            },
            () =>
            {
                Directory.Delete(directory.At($"log-{run}"), recursive: true);
                string path = directory.At($"plain-{run++}");
                TimeSpan time = Report.Time(() => PlainFiles.Write(path, batches));
                File.Delete(path);
                return Task.FromResult(time);
            });
        string what = $"append 1 KiB, written, {where}";
        report.Add(what, records, bytes, log, "write of the same batches", plain);
        report.Goal($"{what}: of plain write", plain / log, 0.7, "%");
    }

    private static async Task DurableAsync(Report report)
    {
        const int Records = 200_000;
        using var directory = new TemporaryDirectory();
        List<ReadOnlyMemory<byte>> batches = LogWorkload.Build(Payload.OfSize(1024), Records);
        long bytes = batches.Sum(batch => (long)batch.Length), commits = 0;
        int run = 0;
        int CommitBytes() => (int)(bytes / commits);
        (TimeSpan log, TimeSpan plain) = await Report.MedianPairAsync(
            Runs,
            async () =>
            {
                var files = new MeteredFiles(DiskFiles.Instance);
                await using PartitionLog log = LogWorkload.Open(directory.At($"log-{run}"), files);
                TimeSpan time = await Report.TimeAsync(() => LogWorkload.AppendConcurrentlyAsync(log, batches, Producers));
                commits = Math.Max(1, files.Syncs);
                return time;
            },
            () =>
            {
                string path = directory.At($"plain-{run++}");
                return Task.FromResult(Report.Time(() => PlainFiles.WriteAndSync(path, bytes, CommitBytes())));
            });
        string what = $"append 1 KiB, durable, {Producers} producers";
        report.Add(what, Records, bytes, log, $"write and fdatasync of {CommitBytes() / 1024} KiB in turn", plain);
        report.Goal($"{what}: of plain write and fdatasync", plain / log, 0.7, "%");
    }

    private static async Task RateAsync(Report report, string where, string parent)
    {
        const int Records = 1_000_000;
        ReadOnlyMemory<byte> value = Payload.OfSize(100);
        List<ReadOnlyMemory<byte>> batches = LogWorkload.Build(value, Records);
        long bytes = batches.Sum(batch => (long)batch.Length);
        async Task<TimeSpan> RunAsync(Func<PartitionLog, Task> append)
        {
            string path = Path.Combine(parent, $"edgestream-{Guid.NewGuid():N}");
            try
            {
                await using PartitionLog log = LogWorkload.Open(path, settings: Os);
                return await Report.TimeAsync(() => append(log));
            }
            finally
            {
                Directory.Delete(path, recursive: true);
            }
        }

        (TimeSpan built, TimeSpan building) = await Report.MedianPairAsync(
            Runs,
            () => RunAsync(log => LogWorkload.AppendBuiltAsync(log, batches, AckLevel.Written)),
            () => RunAsync(log => LogWorkload.AppendAsync(log, value, Records, AckLevel.Written)));
        report.Add($"append 100 B, written to {where}, batches built before", Records, bytes, built);
        report.Add($"append 100 B, written to {where}, building included", Records, bytes, building);
        report.Goal($"records of 100 B a second, to {where}, batches built before", Records / built.TotalSeconds, 2_000_000, "records/s");
        report.Goal($"records of 100 B a second, to {where}, building included", Records / building.TotalSeconds, 2_000_000, "records/s");
    }
}
