using EdgeStream.Harness;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;

namespace EdgeStream.Benchmarks;

/// <summary>
/// The log in this process, against plain system calls on the same disk: append with durable acknowledgements against the same
/// bytes by write and fdatasync, one after the other, in commits of the same size (the log writes the next commit while it syncs
/// the last one, so it can be faster); reading and decoding against read.
/// </summary>
internal static class LogBenchmark
{
    private const int Runs = 5;
    private const int BatchBytes = 64 * 1024;
    private const int ReadBytes = 1024 * 1024;

    public static async Task RunAsync(Report report)
    {
        await RunAsync(report, "100 B", valueSize: 100, records: 1_000_000);
        await RunAsync(report, "1 KiB", valueSize: 1024, records: 200_000);
    }

    private static async Task RunAsync(Report report, string size, int valueSize, int records)
    {
        using var directory = new TemporaryDirectory();
        ReadOnlyMemory<byte> value = Payload.OfSize(valueSize);
        long bytes = 0, syncs = 0;
        int run = 0, commitBytes = 0;
        (TimeSpan append, TimeSpan write) = await Report.MedianPairAsync(
            Runs,
            async () =>
            {
                var files = new MeteredFiles(DiskFiles.Instance);
                await using PartitionLog log = Open(directory.At($"append-{run}"), files);
                TimeSpan time = await Report.TimeAsync(() => AppendAsync(log, value, records));
                bytes = log.SizeInBytes();
                syncs = files.Syncs;
                return time;
            },
            () =>
            {
                commitBytes = (int)(bytes / Math.Max(1, syncs));
                return Report.TimeAsync(() => WriteAndSync(directory.At($"raw-{run++}"), bytes, commitBytes));
            });
        report.Add($"append {size}, durable", records, bytes, append, $"write, then fdatasync, {commitBytes / 1024} KiB each", write);

        string last = directory.At($"append-{Runs - 1}");
        await using PartitionLog full = Open(last, DiskFiles.Instance);
        (TimeSpan read, TimeSpan plain) = await Report.MedianPairAsync(
            Runs,
            () => Report.TimeAsync(() => ReadAll(full, records)),
            () => Report.TimeAsync(() => ReadFiles(last)));
        report.Add($"read {size}, decoded, CRC checked", records, bytes, read, "read (page cache)", plain);
    }

    private static PartitionLog Open(string directory, IStorageFiles files) =>
        PartitionLog.Open(directory, () => PartitionManifest.CreateNew("bench", 0, new Dictionary<string, string>()), files: files);

    private static async Task AppendAsync(PartitionLog log, ReadOnlyMemory<byte> value, int records)
    {
        // As a source does it: records one by one into batches, many batches on their way.
        const int MaxOnTheWay = 64;
        var free = new Queue<RecordBatchWriter>(Enumerable.Range(0, MaxOnTheWay).Select(_ => new RecordBatchWriter()));
        var onTheWay = new Queue<(RecordBatchWriter Writer, Task<AppendedRange> Acknowledged)>();
        for (int i = 0; i < records;)
        {
            if (!free.TryDequeue(out RecordBatchWriter? writer))
            {
                (writer, Task<AppendedRange> acknowledged) = onTheWay.Dequeue();
                await acknowledged;
                writer.Reset();
            }

            while (i < records && writer.EstimatedSize + value.Length < BatchBytes)
                writer.Append(Payload.Record(value, i++));

            onTheWay.Enqueue((writer, await log.EnqueueAsync(writer.Build(), AckLevel.Durable)));
        }

        foreach ((RecordBatchWriter writer, Task<AppendedRange> acknowledged) in onTheWay)
        {
            await acknowledged;
            writer.Dispose();
        }
    }

    private static Task WriteAndSync(string path, long bytes, int commitBytes)
    {
        byte[] commit = new byte[commitBytes];
        new Random(17).NextBytes(commit);
        using ILogFile file = DiskFiles.Instance.Create(path);
        for (long position = 0; position < bytes; position += commitBytes)
        {
            file.Write([commit], position);
            file.SyncData();
        }

        return Task.CompletedTask;
    }

    private static Task ReadAll(PartitionLog log, int expected)
    {
        using LogReader reader = log.OpenReader(0);
        int seen = 0;
        while (seen < expected)
        {
            using LogSlice slice = reader.Read(ReadBytes);
            foreach ((_, ReadOnlyMemory<byte> batch) in RecordBatches.Split(slice.Batches))
            {
                using RecordBatchReader records = RecordBatchReader.Open(batch);
                while (records.TryRead(out _))
                    seen++;
            }
        }

        return Task.CompletedTask;
    }

    private static Task ReadFiles(string directory)
    {
        byte[] buffer = new byte[ReadBytes];
        foreach (string path in Directory.EnumerateFiles(directory, "*.log"))
        {
            using ILogFile file = DiskFiles.Instance.OpenForReading(path);
            long position = 0;
            int read;
            while ((read = file.Read(buffer, position)) > 0)
                position += read;
        }

        return Task.CompletedTask;
    }
}
