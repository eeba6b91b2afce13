using System.Threading.Channels;
using EdgeStream.Cluster.Spu;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using Grpc.Core;

namespace EdgeStream.Cluster.Grpc;

/// <content>Records in.</content>
public sealed partial class DataPlaneService
{
    // Appends that wait for their acknowledgement, on one stream. Their bytes are bounded by the log; this bounds their number.
    private const int MaxUnacknowledged = 1024;

    public override async Task Produce(
        IAsyncStreamReader<V1.ProduceRequest> requestStream,
        IServerStreamWriter<V1.ProduceResponse> responseStream,
        ServerCallContext context)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);
        if (!await requestStream.MoveNext(stop.Token).ConfigureAwait(false))
            return;

        (IPartitionLog log, AckLevel ack, bool isDown) = Open(requestStream.Current.Open);
        var unacknowledged = Channel.CreateBounded<Task<AppendedRange>>(
            new BoundedChannelOptions(MaxUnacknowledged) { SingleReader = true, SingleWriter = true });
        Task responses = RespondAsync(unacknowledged.Reader, responseStream, stop);
        try
        {
            while (await requestStream.MoveNext(stop.Token).ConfigureAwait(false))
            {
                ReadOnlyMemory<byte> batches = requestStream.Current.Batches.Memory;
                VerifyRecords(batches, isDown);

                // Waits where the log is behind: then nothing is read from the stream, and HTTP/2 stops the producer.
                Task<AppendedRange> acknowledged = await log.EnqueueAsync(batches, ack, stop.Token).ConfigureAwait(false);
                await unacknowledged.Writer.WriteAsync(acknowledged, stop.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (responses.IsFaulted)
        {
            // The append that failed says why; the stop is only its consequence.
        }
        finally
        {
            unacknowledged.Writer.TryComplete();
            await responses.ConfigureAwait(false);
        }
    }

    private (IPartitionLog Log, AckLevel Ack, bool IsDown) Open(V1.ProduceOpen? open)
    {
        if (open is null)
            throw new ClusterException(ErrorCode.InvalidArgument, "the first request of Produce names the topic ('open')");

        Partition partition = cluster.GetPartition(open.Topic, open.Partition);
        bool isDown = cluster.Current.Topics.GetValueOrDefault(open.Topic) is { Settings.IsDown: true };
        if (isDown && !cluster.IsHub)
        {
            throw new ClusterException(
                ErrorCode.MirrorOnly,
                $"topic '{open.Topic}' flows down from the hub; produce there: edgestream produce {open.Topic} --geo NAME-OF-THIS-EDGE");
        }

        if (!isDown && partition.Info.GeoLocation is { } geoLocation)
        {
            throw new ClusterException(
                ErrorCode.MirrorOnly, $"{partition.Id} is the copy of what geo-location '{geoLocation}' has; produce there");
        }

        return (partition.Log, open.Ack switch
        {
            V1.Ack.Unspecified or V1.Ack.Durable => AckLevel.Durable,
            V1.Ack.Written => AckLevel.Written,
            V1.Ack.Mirrored => AckLevel.Mirrored,
            _ => throw new ClusterException(ErrorCode.InvalidArgument, $"the ack level {(int)open.Ack} is unknown"),
        }, isDown);
    }

    /// <summary>
    /// A checksum proves that the bytes are as they were sent, not that they are records: a batch that no consumer could read
    /// must not get into the log. Neither must a command of which nobody could tell for how long it counts.
    /// </summary>
    private static void VerifyRecords(ReadOnlyMemory<byte> batches, bool isDown)
    {
        foreach ((_, ReadOnlyMemory<byte> batch) in RecordBatches.Split(batches))
        {
            using RecordBatchReader reader = RecordBatchReader.Open(batch);
            while (reader.TryRead(out Record record))
            {
                if (isDown && RecordExpiry.HasUnreadableTimeToLive(record))
                {
                    throw new ClusterException(
                        ErrorCode.InvalidArgument, $"the header {RecordExpiry.HeaderName} of a record is no time; write for instance 30s or 10m");
                }
            }
        }
    }

    private static async Task RespondAsync(
        ChannelReader<Task<AppendedRange>> unacknowledged, IServerStreamWriter<V1.ProduceResponse> responses, CancellationTokenSource stop)
    {
        try
        {
            await foreach (Task<AppendedRange> acknowledged in unacknowledged.ReadAllAsync().ConfigureAwait(false))
            {
                AppendedRange range = await acknowledged.ConfigureAwait(false);
                await responses
                    .WriteAsync(new V1.ProduceResponse { BaseOffset = range.BaseOffset, LastOffset = range.LastOffset })
                    .ConfigureAwait(false);
            }
        }
        catch
        {
            await stop.CancelAsync().ConfigureAwait(false);
            throw;
        }
    }
}
