using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// Lets this edge's logs go on behind what the hub holds, after its card was replaced by a new one or restored from an image:
/// nothing at the hub is touched, and no record here is lost that the hub does not hold.
/// </summary>
internal sealed class CardReplacement(GrpcChannel channel, StreamController controller, ILogger logger)
{
    private readonly V1.Mirror.MirrorClient _hub = new(channel);

    /// <summary>
    /// Does each topic that the hub holds for this edge; makes those that are missing here. One that is done already is left
    /// alone, so it can be called again after a failure.
    /// </summary>
    /// <exception cref="RpcException">The link failed.</exception>
    /// <exception cref="EdgeStreamException">There is no room, or a log cannot be read.</exception>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        V1.ListMirroredResponse mirrored = await _hub
            .ListMirroredAsync(new V1.ListMirroredRequest(), cancellationToken: cancellationToken)
            .ConfigureAwait(false);
        foreach (string topic in mirrored.Topics)
        {
            if (!controller.Current.Topics.ContainsKey(topic))
                await controller.CreateTopicAsync(topic, 1, new TopicSettings(Mirror: true)).ConfigureAwait(false);

            if (controller.Current.Topics[topic].Settings.Mirror)
                await RunAsync(topic, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task RunAsync(string topic, CancellationToken cancellationToken)
    {
        PartitionLog log = controller.GetPartition(topic, 0).Segments;
        LogOffsets offsets = log.Offsets;
        using AsyncServerStreamingCall<V1.ListBatchesResponse> call = _hub.ListBatches(
            new V1.ListBatchesRequest { Topic = topic, FromOffset = offsets.Start, ToOffset = offsets.Durable },
            cancellationToken: cancellationToken);
        if (!await call.ResponseStream.MoveNext(cancellationToken).ConfigureAwait(false))
            throw new IOException("the hub did not say what it holds");

        (long hubEnd, string hubLog) = (call.ResponseStream.Current.DurableEnd, call.ResponseStream.Current.Incarnation);
        if (hubEnd == 0 || (log.Manifest.FirstOffset >= hubEnd && offsets.Start >= hubEnd))
            return;

        long same = await FindDivergenceAsync(log, call.ResponseStream, cancellationToken).ConfigureAwait(false);
        if (same >= hubEnd && hubLog == log.Manifest.Incarnation.ToString("N"))
            return;

        logger.LogWarning(
            "{Topic}: the hub holds records up to offset {HubEnd}; this log goes on there, with its {Records} records from offset {From} on",
            topic, hubEnd, log.Offsets.Durable - same, same);
        await controller.ReplaceLogAsync(topic, hubEnd, same).ConfigureAwait(false);
    }

    /// <summary>The offset of the log's first batch that the hub does not hold as it is.</summary>
    private static async Task<long> FindDivergenceAsync(
        PartitionLog log, IAsyncStreamReader<V1.ListBatchesResponse> hub, CancellationToken cancellationToken)
    {
        const int ReadBytes = 256 * 1024;
        using LogReader reader = log.OpenReader(log.StartOffset);
        long same = log.StartOffset;
        var proofs = new Queue<V1.BatchProof>();
        while (true)
        {
            using LogSlice slice = reader.Read(ReadBytes);
            foreach ((RecordBatchHeader header, _) in slice.IsEmpty ? [] : RecordBatches.Split(slice.Batches))
            {
                V1.BatchProof? proof;
                while (!proofs.TryDequeue(out proof))
                {
                    if (!await hub.MoveNext(cancellationToken).ConfigureAwait(false))
                        return same;

                    foreach (V1.BatchProof listed in hub.Current.Batches)
                        proofs.Enqueue(listed);
                }

                if (proof.BaseOffset != header.BaseOffset || proof.Crc != header.Crc)
                    return same;

                same = header.NextOffset;
            }

            if (slice.IsEmpty)
                return same;
        }
    }
}
