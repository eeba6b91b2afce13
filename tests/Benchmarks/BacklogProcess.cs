using System.Diagnostics;
using System.Globalization;
using EdgeStream.Storage.Log;

namespace EdgeStream.Benchmarks;

/// <summary>
/// A process of its own that opens one log and works with it, so that its memory is that of one log. Started by
/// <see cref="BacklogBenchmark"/>; prints what it found as one line.
/// </summary>
internal static class BacklogProcess
{
    public const string Command = "backlog-process";

    /// <summary>Argument that has a reader stop after its first read, holding what it got.</summary>
    public const string Reader = "reader";

    /// <summary>Argument that has the process wait to be killed instead of closing the log.</summary>
    public const string Stay = "stay";

    private const int Records = 20_000;

    public static async Task RunAsync(string directory, string mode)
    {
        // What is not the log's own time: the compiler's, for code that runs for the first time.
        string other = directory + "-other";
        for (int i = 0; i < 5; i++)
        {
            PartitionLog warm = LogWorkload.Open(other);
            await LogWorkload.AppendAsync(warm, Payload.OfSize(1024), 100, AckLevel.Durable);
            LogWorkload.ReadRecords(warm, 64 * 1024, 100);
            await warm.DisposeAsync();
        }

        Directory.Delete(other, recursive: true);
        long start = Stopwatch.GetTimestamp();
        PartitionLog log = LogWorkload.Open(directory);
        TimeSpan open = Stopwatch.GetElapsedTime(start);

        using LogReader? reader = mode == Reader ? log.OpenReader(log.StartOffset) : null;
        using LogSlice? held = reader?.Read(64 * 1024);
        await LogWorkload.AppendAsync(log, Payload.OfSize(1024), Records, AckLevel.Durable);
        for (int i = 0; i < 3; i++)
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
            GC.WaitForPendingFinalizers();
        }

        long resident = ResidentBytes();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"opened {open.TotalMilliseconds} resident {resident} records {log.Offsets.End - log.Offsets.Start}"));
        if (mode == Stay)
            await Task.Delay(Timeout.Infinite);

        await log.DisposeAsync();
    }

    private static long ResidentBytes() => 1024 * long.Parse(
        File.ReadLines("/proc/self/status").First(line => line.StartsWith("VmRSS:", StringComparison.Ordinal))
            .Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)[1],
        CultureInfo.InvariantCulture);
}
