using System.Globalization;
using EdgeStream.Harness;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;

namespace EdgeStream.Benchmarks;

/// <summary>
/// What a card has to take: bytes written for each byte of payload, at a steady 1,000 records/s that are synced once a second.
/// Runs in real time.
/// </summary>
internal static class WearBenchmark
{
    private const int ValueSize = 100;
    private const int RecordsPerSecond = 1000;
    private const int Seconds = 20;
    private const long DiskBytes = 512L * 1024 * 1024;
    private const long RecycledBound = 16 * 1024 * 1024;

    // Values that do not compress, nor repeat within a batch: only what the log adds to them can become smaller.
    private static readonly byte[] Values = Payload.OfSize(1024 * 1024).ToArray();

    private static readonly LogSettings EverySecond = new() { Sync = SyncPolicy.Every(TimeSpan.FromSeconds(1)) };

    public static async Task RunAsync(Report report)
    {
        LogSettings bounded = EverySecond with { RetentionBytes = RecycledBound };
        await MeasureAsync(report, "fresh segments", path => LogAsync(path, EverySecond, fill: 0), goal: 1.15);
        await MeasureAsync(report, "recycled segments", path => LogAsync(path, bounded, fill: 2 * RecycledBound), goal: 1.15);
        await MeasureAsync(
            report, "recycled segments, zstd", path => LogAsync(path, bounded, fill: 2 * RecycledBound, CompressionCodec.Zstd), goal: 1.15);
        await MeasureAsync(report, "SQLite, a transaction each second", SqliteAsync, goal: null);
    }

    /// <param name="report">Where the figures go.</param>
    /// <param name="what">What is measured.</param>
    /// <param name="prepare">Gets a directory, and gives what is to be measured, which tells how many records it stored.</param>
    /// <param name="goal">What is aimed at, if anything.</param>
    private static async Task MeasureAsync(Report report, string what, Func<string, Task<Func<Task<int>>>> prepare, double? goal)
    {
        using var directory = new TemporaryDirectory();
        using LoopDisk? disk = LoopDisk.TryMount(directory.Path, DiskBytes);
        Func<Task<int>> run = await prepare(disk?.Path ?? directory.Path);
        long device = disk?.WrittenBytes() ?? 0, process = ProcessBytes();
        int records = 0;
        TimeSpan time = await Report.TimeAsync(async () => records = await run());
        double payload = (double)records * ValueSize;
        double byProcess = (ProcessBytes() - process) / payload;
        double? byDevice = disk is null ? null : (disk.WrittenBytes() - device) / payload;
        report.Note(string.Create(CultureInfo.InvariantCulture,
            $"| bytes written for a byte of payload, {what} | {records / time.TotalSeconds:#,0} | | process {byProcess:0.000}, device {byDevice:0.000} |"));
        if (goal is { } aim)
            report.Goal($"bytes written to the {(byDevice is null ? "files" : "device")} for a byte of payload, {what}", byDevice ?? byProcess, aim, "×", atMost: true);
    }

    private static async Task<Func<Task<int>>> LogAsync(
        string path, LogSettings settings, long fill, CompressionCodec codec = CompressionCodec.None)
    {
        PartitionLog log = LogWorkload.Open(Path.Combine(path, "log"), settings: settings with { Sync = SyncPolicy.Commit });
        await LogWorkload.AppendAsync(log, Value(0), (int)(1 + (fill / ValueSize)), AckLevel.Durable);
        log.Settings = settings;
        return async () =>
        {
            int stored = 0, sent = 0;

            // As agent/Hosting/LogRecordSink does it.
            await using (var accumulator = new RecordAccumulator(codec, async (batch, stop) =>
                WaitForDurableAsync(await log.AppendAsync(batch, AckLevel.Written, stop)), fillsWhileUnacknowledged: true))
            {
                await AtSteadyRateAsync(
                    RecordsPerSecond / 100, TimeSpan.FromMilliseconds(10), async timestamp => _ = CountAsync(await accumulator.AddAsync(Payload.Record(Value(sent++), timestamp))));
            }

            await log.DisposeAsync();
            return stored;

            async Task<long> WaitForDurableAsync(AppendedRange range)
            {
                await log.WaitForDurableAsync(range.LastOffset + 1, CancellationToken.None);
                return range.BaseOffset;
            }

            async Task CountAsync(Task<long> acknowledged)
            {
                await acknowledged;
                Interlocked.Increment(ref stored);
            }
        };
    }

    private static Task<Func<Task<int>>> SqliteAsync(string path)
    {
        var readings = new SqliteReadings(Path.Combine(path, "readings.db"));
        return Task.FromResult<Func<Task<int>>>(async () =>
        {
            int stored = 0;
            await AtSteadyRateAsync(1, TimeSpan.FromSeconds(1), timestamp =>
            {
                readings.Append(Value(0).ToArray(), RecordsPerSecond, timestamp);
                stored += RecordsPerSecond;
                return Task.CompletedTask;
            });
            readings.Dispose();
            return stored;
        });
    }

    private static ReadOnlyMemory<byte> Value(int number) =>
        Values.AsMemory((int)((long)number * ValueSize % (Values.Length - ValueSize)), ValueSize);

    private static async Task AtSteadyRateAsync(int atOnce, TimeSpan interval, Func<long, Task> act)
    {
        using var timer = new PeriodicTimer(interval);
        long due = 0, end = (long)(TimeSpan.FromSeconds(Seconds) / interval), start = Environment.TickCount64;
        while (due < end)
        {
            await timer.WaitForNextTickAsync();

            // Also those whose tick was missed.
            long now = Math.Min(end, (long)((Environment.TickCount64 - start) / interval.TotalMilliseconds));
            for (; due < now; due++)
            {
                for (int i = 0; i < atOnce; i++)
                    await act(start + due);
            }
        }
    }

    /// <summary>Bytes that this process had written to storage, or will have (proc(5): write_bytes).</summary>
    private static long ProcessBytes() => long.Parse(
        File.ReadLines("/proc/self/io").First(line => line.StartsWith("write_bytes", StringComparison.Ordinal)).Split(' ')[1], CultureInfo.InvariantCulture);
}
