using EdgeStream.Harness;
using EdgeStream.Storage.Log;

namespace EdgeStream.Benchmarks;

/// <summary>The log read from its start, out of the page cache, against plain reads of the same files.</summary>
internal static class ReadBenchmark
{
    private const int Runs = 5;

    // The same call is made by both sides; it is what the uplink asks for at once.
    private const int ChunkBytes = 1024 * 1024;

    public static async Task RunAsync(Report report)
    {
        await RunAsync(report, "100 B", valueSize: 100, records: 2_000_000);
        await RunAsync(report, "1 KiB", valueSize: 1024, records: 200_000);
    }

    private static async Task RunAsync(Report report, string size, int valueSize, int records)
    {
        using var directory = new TemporaryDirectory();
        string path = directory.At("log");
        await using PartitionLog log = LogWorkload.Open(path);
        await LogWorkload.AppendAsync(log, Payload.OfSize(valueSize), records, AckLevel.Durable);
        long bytes = LogWorkload.ReadBatches(log, ChunkBytes);
        TimeSpan Plain() => Report.Time(() => PlainFiles.Read(path, ChunkBytes));

        (TimeSpan checkedOnly, TimeSpan plain) = await Report.MedianPairAsync(
            Runs,
            () => Task.FromResult(Report.Time(() => LogWorkload.ReadBatches(log, ChunkBytes))),
            () => Task.FromResult(Plain()));
        report.Add($"read {size}, CRC checked", records, bytes, checkedOnly, "read", plain);
        report.Goal($"read {size}, CRC checked: of plain read", plain / checkedOnly, 0.7, "%");

        (TimeSpan decoded, plain) = await Report.MedianPairAsync(
            Runs,
            () => Task.FromResult(Report.Time(() => LogWorkload.ReadRecords(log, ChunkBytes, records))),
            () => Task.FromResult(Plain()));
        report.Add($"read {size}, each record decoded", records, bytes, decoded, "read", plain);
    }
}
