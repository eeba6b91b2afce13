using System.Text;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;

namespace EdgeStream.Testing;

/// <summary>Short batches of text, and what a log holds as text.</summary>
public static class Batches
{
    /// <summary>One batch with a record for each value.</summary>
    public static byte[] Of(params string[] values) => At(0, values);

    /// <summary>As <see cref="Of"/>, with an offset of its own as a mirror brings it.</summary>
    public static byte[] At(long baseOffset, params string[] values) =>
        Build(baseOffset, CompressionCodec.None, values.Select(value => new Record(1000, null, Encoding.UTF8.GetBytes(value))));

    /// <summary>One batch of empty records with these timestamps.</summary>
    public static byte[] Stamped(params long[] timestamps) =>
        Build(0, CompressionCodec.None, timestamps.Select(timestamp => new Record(timestamp, null, null)));

    public static byte[] Build(long baseOffset, CompressionCodec codec, IEnumerable<Record> records)
    {
        using var writer = new RecordBatchWriter(codec);
        foreach (Record record in records)
            writer.Append(record);

        return writer.Build(baseOffset).ToArray();
    }

    /// <summary>The values of all durable records from an offset on; fails where the offsets are not dense.</summary>
    public static List<string> ReadValues(PartitionLog log, long from = 0, int maxBytes = 64 * 1024)
    {
        using LogReader reader = log.OpenReader(from);
        var values = new List<string>();
        while (true)
        {
            using LogSlice slice = reader.Read(maxBytes);
            if (slice.IsEmpty)
                return values;

            values.AddRange(ValuesOf(slice, from + values.Count));
        }
    }

    /// <summary>As <see cref="ReadValues"/>, of any log; gaps are passed over.</summary>
    public static async Task<List<string>> ReadValuesAsync(IPartitionLog log, long from = 0, int maxBytes = 64 * 1024)
    {
        using IPartitionReader reader = log.OpenReader(from);
        var values = new List<string>();
        while (true)
        {
            using LogSlice slice = await reader.ReadAsync(maxBytes);
            if (slice.IsEmpty)
                return values;

            values.AddRange(ValuesOf(slice, Math.Max(from, slice.BaseOffset)));
        }
    }

    /// <summary>The values of all durable records by their offsets, gaps passed over.</summary>
    public static SortedDictionary<long, string> ReadRecords(PartitionLog log)
    {
        using LogReader reader = log.OpenReader(log.Offsets.Start);
        var records = new SortedDictionary<long, string>();
        while (true)
        {
            using LogSlice slice = reader.Read(64 * 1024);
            if (slice.IsEmpty)
                return records;

            foreach ((_, ReadOnlyMemory<byte> batch) in RecordBatches.Split(slice.Batches))
            {
                using RecordBatchReader batchReader = RecordBatchReader.Open(batch);
                while (batchReader.TryRead(out Record record))
                    records.Add(record.Offset, Encoding.UTF8.GetString(record.Value.GetValueOrDefault().Span));
            }
        }
    }

    /// <summary>The values of a slice's records from an offset on; fails where the first is not that one or one is missing.</summary>
    public static IEnumerable<string> ValuesOf(LogSlice slice, long from)
    {
        foreach ((_, ReadOnlyMemory<byte> batch) in RecordBatches.Split(slice.Batches))
        {
            using RecordBatchReader reader = RecordBatchReader.Open(batch);
            while (reader.TryRead(out Record record))
            {
                if (record.Offset < from)
                    continue;

                if (record.Offset != from++)
                    throw new InvalidOperationException($"the record at offset {from - 1} is followed by that at {record.Offset}");

                yield return Encoding.UTF8.GetString(record.Value.GetValueOrDefault().Span);
            }
        }
    }
}
