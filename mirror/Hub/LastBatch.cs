using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;

namespace EdgeStream.Mirror.Hub;

/// <summary>The last batch of a log: what its origin is compared by.</summary>
internal static class LastBatch
{
    /// <summary>Base offset and CRC-32C of the batch before <paramref name="end"/>; base offset -1 where there is none.</summary>
    /// <exception cref="IOException">The log cannot be read.</exception>
    public static (long BaseOffset, uint Crc) Of(PartitionLog log, long end)
    {
        if (end <= log.StartOffset || log.FindGap(end - 1) is not null)
            return (-1, 0);

        using LogReader reader = log.OpenReader(end - 1);
        using LogSlice slice = reader.Read(RecordBatchHeader.Size);
        return RecordBatchHeader.TryRead(slice.Batches.Span, out RecordBatchHeader header, out _) ? (header.BaseOffset, header.Crc) : (-1, 0);
    }
}
