using EdgeStream.Client;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage.Records;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Harness;

/// <summary>
/// Compares an edge's partition with its copy at the hub: same offsets, same bytes, nothing twice, and each offset that the edge
/// has given is a record at the hub or in a gap that both know.
/// </summary>
/// <param name="Records">How many records the hub holds.</param>
/// <param name="Lost">How many are gaps at the hub.</param>
/// <param name="Difference">The first difference, in one line; null where there is none.</param>
public sealed record MirrorAudit(long Records, long Lost, string? Difference)
{
    /// <summary>
    /// Reads both from the beginning up to the edge's durable end, while nothing is appended or dropped. What the edge has dropped
    /// since the hub has it is not compared; <paramref name="visit"/> can.
    /// </summary>
    /// <param name="edge">The edge.</param>
    /// <param name="hub">The hub.</param>
    /// <param name="topic">A mirror topic.</param>
    /// <param name="hubPartition">The edge's partition at the hub.</param>
    /// <param name="visit">Told each record of the hub.</param>
    public static async Task<MirrorAudit> RunAsync(
        EdgeStreamClient edge, EdgeStreamClient hub, string topic, int hubPartition, Action<Record>? visit = null)
    {
        PartitionStatus edgeStatus = await StatusAsync(edge, topic, 0).ConfigureAwait(false);
        List<Gap> edgeGaps = await GapsAsync(edge, topic, 0).ConfigureAwait(false);
        List<Gap> hubGaps = await GapsAsync(hub, topic, hubPartition).ConfigureAwait(false);
        using Consumer edgeConsumer = await edge.ConsumeAsync(FromBeginning(topic, 0)).ConfigureAwait(false);
        using Consumer hubConsumer = await hub.ConsumeAsync(FromBeginning(topic, hubPartition)).ConfigureAwait(false);
        await using IAsyncEnumerator<ReadOnlyMemory<byte>> edgeBatches = edgeConsumer.ReadBatchesAsync().GetAsyncEnumerator();
        await using IAsyncEnumerator<ReadOnlyMemory<byte>> hubBatches = hubConsumer.ReadBatchesAsync().GetAsyncEnumerator();
        bool edgeHas = await edgeBatches.MoveNextAsync().ConfigureAwait(false);
        bool hubHas = await hubBatches.MoveNextAsync().ConfigureAwait(false);
        long expected = 0, records = 0, lost = 0;
        while (expected < edgeStatus.Durable)
        {
            if (edgeHas && BaseOffset(edgeBatches.Current) < expected)
                return Differ($"the edge has a batch at {BaseOffset(edgeBatches.Current)}, inside of what the hub has below {expected}");

            if (hubHas && BaseOffset(hubBatches.Current) == expected)
            {
                if (edgeHas && BaseOffset(edgeBatches.Current) == expected)
                {
                    if (!hubBatches.Current.Span.SequenceEqual(edgeBatches.Current.Span))
                        return Differ($"the batch at {expected} differs");

                    edgeHas = await edgeBatches.MoveNextAsync().ConfigureAwait(false);
                }
                else if (expected >= edgeStatus.LogStart && Covering(edgeGaps, expected) is null)
                {
                    return Differ($"the hub has a batch at {expected}, the edge has neither it nor a gap");
                }

                using RecordBatchReader reader = RecordBatchReader.Open(hubBatches.Current);
                while (reader.TryRead(out Record record))
                    visit?.Invoke(record);

                records += reader.Header.NextOffset - expected;
                expected = reader.Header.NextOffset;
                hubHas = await hubBatches.MoveNextAsync().ConfigureAwait(false);
            }
            else if (Covering(hubGaps, expected) is { } gap)
            {
                for (long next = expected; next <= gap.LastOffset;)
                {
                    if (Covering(edgeGaps, next) is not { } known)
                        return Differ($"{next} is lost by the hub's account, not by the edge's");

                    next = known.LastOffset + 1;
                }

                lost += gap.LastOffset + 1 - expected;
                expected = gap.LastOffset + 1;
            }
            else
            {
                return Differ($"the hub has neither a record nor a gap at {expected}, the edge ends at {edgeStatus.Durable}");
            }
        }

        return expected > edgeStatus.Durable || hubHas
            ? Differ($"the hub has more than the edge, which ends at {edgeStatus.Durable}")
            : new MirrorAudit(records, lost, null);

        MirrorAudit Differ(string difference) => new(records, lost, difference);
    }

    private static long BaseOffset(ReadOnlyMemory<byte> batch) =>
        RecordBatchHeader.TryRead(batch.Span, out RecordBatchHeader header, out string? problem)
            ? header.BaseOffset
            : throw new InvalidOperationException(problem);

    private static Gap? Covering(List<Gap> gaps, long offset) =>
        gaps.FirstOrDefault(gap => gap.FirstOffset <= offset && offset <= gap.LastOffset);

    private static async Task<PartitionStatus> StatusAsync(EdgeStreamClient client, string topic, int partition) =>
        (await client.ListPartitionsAsync(topic).ConfigureAwait(false)).Single(status => status.Partition.Partition_ == partition);

    private static async Task<List<Gap>> GapsAsync(EdgeStreamClient client, string topic, int partition)
    {
        Gathered<Gap> gaps = await client.ListGapsAsync(topic).ConfigureAwait(false);
        if (gaps.Problems.Count > 0)
            throw new InvalidOperationException(string.Join("; ", gaps.Problems));

        return [.. gaps.Items.Where(gap => gap.Partition == partition)];
    }

    private static ConsumeRequest FromBeginning(string topic, int partition) =>
        new() { Topic = topic, Partition = partition, Beginning = true, StopAtEnd = true };
}
