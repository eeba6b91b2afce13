using EdgeStream.Harness;
using EdgeStream.Storage.Log;

namespace EdgeStream.Benchmarks;

/// <summary>
/// The log against databases that hold the same readings: appended durably in batches of one size, then read from first to
/// last. The log has as many batches on their way as its producers do; a database takes one transaction after the other.
/// </summary>
internal static class DatabaseBenchmark
{
    private const int Runs = 5;
    private const int ValueSize = 100;
    private const int ReadBytes = 1024 * 1024;

    // A database is so much slower that fewer readings do.
    private const int LogRecords = 400_000;
    private const int DatabaseRecords = 40_000;

    private static readonly byte[] Value = Payload.OfSize(ValueSize).ToArray();

    public static async Task RunAsync(Report report)
    {
        foreach (int batch in (int[])[100, 500])
        {
            await RunAsync(report, batch, "SQLite", path => new SqliteReadings(path), (db, time) => db.Append(Value, batch, time), db => db.ReadAll(new byte[ValueSize]));
            await RunAsync(report, batch, "LiteDB", path => new LiteDbReadings(path), (db, time) => db.Append(Value, batch, time), db => db.ReadAll());
        }
    }

    private static async Task RunAsync<T>(
        Report report, int batch, string name, Func<string, T> open, Action<T, long> append, Func<T, int> readAll)
        where T : IDisposable
    {
        using var directory = new TemporaryDirectory();
        int run = 0;
        (TimeSpan logAppend, TimeSpan databaseAppend) = await Report.MedianPairAsync(
            Runs,
            async () =>
            {
                List<ReadOnlyMemory<byte>> batches = BuildBatches(batch);
                await using PartitionLog log = LogWorkload.Open(directory.At($"log-{run}"));
                return await Report.TimeAsync(() => LogWorkload.AppendBuiltAsync(log, batches, AckLevel.Durable));
            },
            () =>
            {
                using T database = open(directory.At($"db-{run++}"));
                return Task.FromResult(Report.Time(() =>
                {
                    for (int i = 0; i < DatabaseRecords; i += batch)
                        append(database, i);
                }));
            });

        await using PartitionLog last = LogWorkload.Open(directory.At($"log-{Runs - 1}"));
        using T filled = open(directory.At("read"));
        for (int i = 0; i < DatabaseRecords; i += batch)
            append(filled, i);

        (TimeSpan logRead, TimeSpan read) = await Report.MedianPairAsync(
            Runs,
            () => Task.FromResult(Report.Time(() => LogWorkload.ReadRecords(last, ReadBytes, LogRecords))),
            () => Task.FromResult(Report.Time(() =>
            {
                if (readAll(filled) != DatabaseRecords)
                    throw new InvalidOperationException($"{name} does not hold what was put in");
            })));
        Compare(report, $"append 100 B, durable, {batch} a batch", name, logAppend, databaseAppend);
        Compare(report, $"read 100 B, {batch} a batch, each record decoded", name, logRead, read);
    }

    private static void Compare(Report report, string what, string name, TimeSpan log, TimeSpan database)
    {
        report.Add(what, LogRecords, (long)LogRecords * ValueSize, log);
        report.Add($"{what}: {name}", DatabaseRecords, (long)DatabaseRecords * ValueSize, database);
        report.Goal($"{what}: of {name}", LogRecords / log.TotalSeconds / (DatabaseRecords / database.TotalSeconds), 10, "×");
    }

    private static List<ReadOnlyMemory<byte>> BuildBatches(int recordsPerBatch)
    {
        ReadOnlyMemory<byte> batch = LogWorkload.Build(Value, recordsPerBatch, batchBytes: int.MaxValue).Single();
        return [.. Enumerable.Repeat(batch, LogRecords / recordsPerBatch)];
    }
}
