using EdgeStream.Cluster.Spu;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;

namespace EdgeStream.Mirror.Hub;

/// <summary>What a log's origin can compare its own batches by: base offset and CRC-32C of each.</summary>
internal static class BatchProofs
{
    private const int ReadBytes = 256 * 1024;

    /// <summary>Base offset and CRC-32C of the batch before <paramref name="end"/>; base offset -1 where there is none.</summary>
    /// <exception cref="IOException">The log cannot be read.</exception>
    public static async ValueTask<(long BaseOffset, uint Crc)> LastAsync(IPartitionLog log, long end, CancellationToken cancellationToken)
    {
        if (end <= log.StartOffset || log.FindGap(end - 1) is not null)
            return (-1, 0);

        using IPartitionReader reader = log.OpenReader(end - 1);
        using LogSlice slice = await reader.ReadAsync(RecordBatchHeader.Size, cancellationToken: cancellationToken).ConfigureAwait(false);
        return RecordBatchHeader.TryRead(slice.Batches.Span, out RecordBatchHeader header, out _) ? (header.BaseOffset, header.Crc) : (-1, 0);
    }

    /// <summary>The batches in a range of offsets, as far as the log holds them; where it ends comes first.</summary>
    public static async IAsyncEnumerable<V1.ListBatchesResponse> Of(Partition partition, long from, long to)
    {
        IPartitionLog log = partition.Log;
        long end = log.Offsets.Durable;
        yield return new V1.ListBatchesResponse { DurableEnd = end, Incarnation = MirrorOrigin.Known(partition) ?? "" };

        long limit = Math.Min(to, end);
        if (Math.Max(from, log.StartOffset) >= limit)
            yield break;

        using IPartitionReader reader = log.OpenReader(Math.Max(from, log.StartOffset));
        while (true)
        {
            var response = new V1.ListBatchesResponse();
            using (LogSlice slice = await reader.ReadAsync(ReadBytes, limit).ConfigureAwait(false))
            {
                if (slice.IsEmpty)
                    yield break;

                foreach ((RecordBatchHeader header, _) in RecordBatches.Split(slice.Batches))
                    response.Batches.Add(new V1.BatchProof { BaseOffset = header.BaseOffset, Crc = header.Crc });
            }

            yield return response;
        }
    }
}
