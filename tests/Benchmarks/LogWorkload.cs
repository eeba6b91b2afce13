using EdgeStream.Storage.Files;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;

namespace EdgeStream.Benchmarks;

/// <summary>What is done to a log again and again: filled and read through.</summary>
internal static class LogWorkload
{
    /// <summary>Where a batch is closed, as <see cref="RecordAccumulator"/> does it.</summary>
    public const int BatchBytes = 64 * 1024;

    private const int MaxOnTheWay = 64;

    public static PartitionLog Open(string directory, IStorageFiles? files = null, LogSettings? settings = null, LogOptions? options = null) =>
        PartitionLog.Open(
            directory, () => PartitionManifest.CreateNew("bench", 0, new Dictionary<string, string>()), options, files, settings);

    /// <summary>All records in batches, built beforehand.</summary>
    public static List<ReadOnlyMemory<byte>> Build(ReadOnlyMemory<byte> value, int records, int batchBytes = BatchBytes)
    {
        var batches = new List<ReadOnlyMemory<byte>>();
        using var writer = new RecordBatchWriter();
        for (int i = 0; i < records; writer.Reset())
        {
            i = Fill(writer, value, i, records, batchBytes);
            batches.Add(writer.Build().ToArray());
        }

        return batches;
    }

    /// <summary>One producer: records one by one into batches, many batches on their way.</summary>
    public static async Task AppendAsync(PartitionLog log, ReadOnlyMemory<byte> value, int records, AckLevel ack)
    {
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

            i = Fill(writer, value, i, records, BatchBytes);
            onTheWay.Enqueue((writer, await log.EnqueueAsync(writer.Build(), ack)));
        }

        foreach ((RecordBatchWriter writer, Task<AppendedRange> acknowledged) in onTheWay)
        {
            await acknowledged;
            writer.Dispose();
        }
    }

    /// <summary>One producer of batches that are built, many on their way.</summary>
    public static async Task AppendBuiltAsync(PartitionLog log, List<ReadOnlyMemory<byte>> batches, AckLevel ack)
    {
        var onTheWay = new Queue<Task<AppendedRange>>();
        foreach (ReadOnlyMemory<byte> batch in batches)
        {
            if (onTheWay.Count == MaxOnTheWay)
                await onTheWay.Dequeue();

            onTheWay.Enqueue(await log.EnqueueAsync(batch, ack));
        }

        await Task.WhenAll(onTheWay);
    }

    /// <summary>Many producers at once; each waits until its batch is durable before it brings the next.</summary>
    public static Task AppendConcurrentlyAsync(PartitionLog log, List<ReadOnlyMemory<byte>> batches, int producers)
    {
        int next = -1;
        return Task.WhenAll(Enumerable.Range(0, producers).Select(_ => Task.Run(async () =>
        {
            for (int i; (i = Interlocked.Increment(ref next)) < batches.Count;)
                await log.AppendAsync(batches[i], AckLevel.Durable);
        })));
    }

    /// <summary>Reads whole batches, their checksums verified, and leaves the records in them.</summary>
    public static long ReadBatches(PartitionLog log, int chunkBytes)
    {
        using LogReader reader = log.OpenReader(log.StartOffset);
        for (long bytes = 0; ;)
        {
            using LogSlice slice = reader.Read(chunkBytes);
            if (slice.IsEmpty)
                return bytes;

            bytes += slice.Batches.Length;
        }
    }

    /// <summary>Reads and decodes every record.</summary>
    public static void ReadRecords(PartitionLog log, int chunkBytes, int expected)
    {
        using LogReader reader = log.OpenReader(log.StartOffset);
        int seen = 0;
        while (seen < expected)
        {
            using LogSlice slice = reader.Read(chunkBytes);
            foreach ((_, ReadOnlyMemory<byte> batch) in RecordBatches.Split(slice.Batches))
            {
                using RecordBatchReader records = RecordBatchReader.Open(batch);
                while (records.TryRead(out _))
                    seen++;
            }
        }
    }

    private static int Fill(RecordBatchWriter writer, ReadOnlyMemory<byte> value, int from, int end, int batchBytes)
    {
        int i = from;
        while (i < end && (writer.RecordCount == 0 || writer.EstimatedSize + value.Length < batchBytes))
            writer.Append(Payload.Record(value, i++));

        return i;
    }
}
