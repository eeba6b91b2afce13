using EdgeStream.Client;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage.Records;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Harness;

/// <summary>Compares an edge's partition with its copy at the hub: same offsets, same bytes, nothing missing, nothing twice.</summary>
/// <param name="Records">How many records both hold.</param>
/// <param name="Difference">The first difference, in one line; null where there is none.</param>
public sealed record MirrorAudit(long Records, string? Difference)
{
    /// <summary>Reads both from the beginning up to the edge's durable end.</summary>
    /// <param name="edge">The edge.</param>
    /// <param name="hub">The hub.</param>
    /// <param name="topic">A mirror topic.</param>
    /// <param name="hubPartition">The edge's partition at the hub.</param>
    /// <param name="visit">Told each record of the edge.</param>
    public static async Task<MirrorAudit> RunAsync(
        EdgeStreamClient edge, EdgeStreamClient hub, string topic, int hubPartition, Action<Record>? visit = null)
    {
        using Consumer edgeConsumer = await edge.ConsumeAsync(FromBeginning(topic, 0)).ConfigureAwait(false);
        using Consumer hubConsumer = await hub.ConsumeAsync(FromBeginning(topic, hubPartition)).ConfigureAwait(false);
        await using IAsyncEnumerator<ReadOnlyMemory<byte>> hubBatches = hubConsumer.ReadBatchesAsync().GetAsyncEnumerator();
        long expected = 0;
        await foreach (ReadOnlyMemory<byte> batch in edgeConsumer.ReadBatchesAsync().ConfigureAwait(false))
        {
            using RecordBatchReader reader = RecordBatchReader.Open(batch);
            if (reader.Header.BaseOffset != expected)
                return new MirrorAudit(expected, $"the edge goes on at {reader.Header.BaseOffset} instead of {expected}");

            if (!await hubBatches.MoveNextAsync().ConfigureAwait(false))
                return new MirrorAudit(expected, $"the hub ends at {expected}, the edge goes on");

            if (!hubBatches.Current.Span.SequenceEqual(batch.Span))
                return new MirrorAudit(expected, $"the batch at {expected} differs");

            while (reader.TryRead(out Record record))
                visit?.Invoke(record);

            expected = reader.Header.NextOffset;
        }

        return await hubBatches.MoveNextAsync().ConfigureAwait(false)
            ? new MirrorAudit(expected, $"the hub has more than the edge, which ends at {expected}")
            : new MirrorAudit(expected, null);
    }

    private static ConsumeRequest FromBeginning(string topic, int partition) =>
        new() { Topic = topic, Partition = partition, Beginning = true, StopAtEnd = true };
}
