using System.Threading.Channels;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using Grpc.Core;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Mirror.Hub;

/// <summary>
/// One uplink stream at the hub: reads chunks and appends them at the offsets they bring; acknowledges each, in order, once it
/// is durable here. Many chunks are on their way at once, bounded by the credit.
/// </summary>
internal sealed class HubSession(
    string geoLocation, StreamController controller, GeoLocationPresence presence, ILogger logger)
{
    /// <summary>How much an edge may have on its way without an acknowledgement, in bytes.</summary>
    internal const int CreditBytes = 4 * 1024 * 1024;

    // Bounded, so that an edge that sends without reading is stopped by its own stream.
    private readonly Channel<PendingReply> _replies = Channel.CreateBounded<PendingReply>(
        new BoundedChannelOptions(4096) { SingleReader = true });

    private readonly Dictionary<string, Partition> _open = new(StringComparer.Ordinal);
    private long _usedCredit;

    /// <summary>A message to the edge; with a chunk's append, one that is sent when that has completed.</summary>
    private readonly record struct PendingReply(
        V1.HubMessage? Message, string Topic = "", PartitionLog? Log = null, Task<AppendedRange>? Append = null, int Credit = 0);

    /// <summary>
    /// Serves the stream until either side ends it, or the geo-location is revoked. <paramref name="stop"/> is cancelled when
    /// one of the three tasks fails: nothing that the edge does or leaves undone can then hold up the others.
    /// </summary>
    public async Task RunAsync(
        IAsyncStreamReader<V1.EdgeMessage> requests, IServerStreamWriter<V1.HubMessage> responses, CancellationTokenSource stop)
    {
        Task replying = ReplyAsync(responses, stop.Token);
        Task reading = ReadAsync(requests, stop.Token);
        Task first = await Task.WhenAny(reading, replying, WatchRightAsync(stop.Token)).ConfigureAwait(false);
        if (!first.IsCompletedSuccessfully)
            await stop.CancelAsync().ConfigureAwait(false);

        await Task.WhenAll(reading, replying).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await stop.CancelAsync().ConfigureAwait(false);
        await first.ConfigureAwait(false);
        await Task.WhenAll(reading, replying).ConfigureAwait(false);
    }

    private async Task ReadAsync(IAsyncStreamReader<V1.EdgeMessage> requests, CancellationToken cancellationToken)
    {
        try
        {
            await SendAsync(Welcome(), cancellationToken).ConfigureAwait(false);
            while (await requests.MoveNext(cancellationToken).ConfigureAwait(false))
            {
                presence.Seen(geoLocation);
                CheckNotRevoked();
                await HandleAsync(requests.Current, cancellationToken).ConfigureAwait(false);
            }
        }
        finally
        {
            _replies.Writer.TryComplete();
        }
    }

    /// <summary>Ends a stream on which nothing moves, too.</summary>
    private async Task WatchRightAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            TopologyMap known = controller.Current;
            CheckNotRevoked();
            await controller.WaitForChangeAsync(known, cancellationToken).ConfigureAwait(false);
        }
    }

    private V1.HubMessage Welcome() => new()
    {
        Welcome = new V1.Welcome
        {
            ClusterId = controller.Current.ClusterId,
            GeoLocation = geoLocation,
            CreditBytes = CreditBytes,
            Topics = { controller.Current.Topics.Values.Where(topic => topic.Settings.AtEveryEdge).Select(topic => topic.Name) },
        },
    };

    private void CheckNotRevoked()
    {
        if (controller.Current.GeoLocations.GetValueOrDefault(geoLocation) is not { Revoked: false })
            throw new ClusterException(ErrorCode.Unauthenticated, $"geo-location '{geoLocation}' was revoked");
    }

    private ValueTask HandleAsync(V1.EdgeMessage message, CancellationToken cancellationToken) => message.MessageCase switch
    {
        V1.EdgeMessage.MessageOneofCase.Open => OpenAsync(message.Open, cancellationToken),
        V1.EdgeMessage.MessageOneofCase.Chunk => AppendAsync(message.Chunk, cancellationToken),
        V1.EdgeMessage.MessageOneofCase.Gap => TakeGapAsync(message.Gap, cancellationToken),
        V1.EdgeMessage.MessageOneofCase.Position => TakePosition(message.Position),

        // Of a newer edge: what it means cannot matter to a hub that does not know it.
        _ => ValueTask.CompletedTask,
    };

    private ValueTask TakePosition(V1.Position position)
    {
        if (_open.TryGetValue(position.Topic, out Partition? partition))
            partition.EdgeDurable = position.Durable;

        return ValueTask.CompletedTask;
    }

    private async ValueTask OpenAsync(V1.OpenTopic open, CancellationToken cancellationToken)
    {
        V1.HubMessage answer;
        try
        {
            PartitionId id = await controller.EnsureMirrorPartitionAsync(open.Topic, geoLocation).ConfigureAwait(false);
            Partition partition = controller.GetPartition(id.Topic, id.Partition);
            long resume = CheckContinues(partition, open);

            // The edge takes what lies below for mirrored, so it must be durable before it is told.
            await partition.Log.WaitForDurableAsync(resume, cancellationToken).ConfigureAwait(false);
            partition.EdgeDurable = open.Durable;
            _open[open.Topic] = partition;
            answer = new V1.HubMessage
            {
                Opened = new V1.TopicOpened { Topic = open.Topic, Partition = id.Partition, ResumeOffset = resume },
            };
        }
        catch (Exception refusal) when (refusal is EdgeStreamException or IOException)
        {
            answer = Refused(open.Topic, refusal, hubEnd: -1);
        }

        await SendAsync(answer, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Whether the edge's log is the one that the partition was filled from; where it goes on.</summary>
    private static long CheckContinues(Partition partition, V1.OpenTopic open)
    {
        long end = partition.Log.Offsets.End;
        MirrorOrigin.CheckOrAdopt(partition, open.Incarnation);
        if (end > open.Durable)
        {
            throw new ClusterException(
                ErrorCode.OffsetConflict,
                $"{partition.Id} ends at {end} here but at {open.Durable} at the edge: the edge has lost records (an old backup?)");
        }

        return end;
    }

    private async ValueTask AppendAsync(V1.Chunk chunk, CancellationToken cancellationToken)
    {
        int size = chunk.Batches.Length;
        if (Interlocked.Add(ref _usedCredit, size) > CreditBytes && _usedCredit > size)
            throw new ClusterException(ErrorCode.InvalidArgument, $"'{geoLocation}' has sent more than its credit of {CreditBytes} bytes");

        // A topic that was refused while chunks of it were on their way: they are passed over, their credit goes back.
        if (!_open.TryGetValue(chunk.Topic, out Partition? partition))
        {
            await _replies.Writer.WriteAsync(new PendingReply(null, chunk.Topic, Credit: size), cancellationToken).ConfigureAwait(false);
            return;
        }

        partition.EdgeDurable = chunk.Durable;
        PartitionLog log = partition.Log;
        Task<AppendedRange> append;
        try
        {
            append = await log.EnqueueVerbatimAsync(chunk.Batches.Memory, AckLevel.Durable, cancellationToken).ConfigureAwait(false);
        }
        catch (EdgeStreamException refusal)
        {
            append = Task.FromException<AppendedRange>(refusal);
        }

        await _replies.Writer
            .WriteAsync(new PendingReply(null, chunk.Topic, log, append, size), cancellationToken)
            .ConfigureAwait(false);
    }

    private async ValueTask TakeGapAsync(V1.MirrorGap gap, CancellationToken cancellationToken)
    {
        if (!_open.TryGetValue(gap.Topic, out Partition? partition))
            return;

        PartitionLog log = partition.Log;
        Task<AppendedRange> append;
        try
        {
            append = await log.EnqueueGapAsync(MirrorGaps.FromMessage(gap), cancellationToken).ConfigureAwait(false);
        }
        catch (EdgeStreamException refusal)
        {
            append = Task.FromException<AppendedRange>(refusal);
        }

        await _replies.Writer.WriteAsync(new PendingReply(null, gap.Topic, log, append), cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask SendAsync(V1.HubMessage message, CancellationToken cancellationToken) =>
        await _replies.Writer.WriteAsync(new PendingReply(message), cancellationToken).ConfigureAwait(false);

    private async Task ReplyAsync(IServerStreamWriter<V1.HubMessage> responses, CancellationToken cancellationToken)
    {
        try
        {
            await foreach (PendingReply reply in _replies.Reader.ReadAllAsync(cancellationToken).ConfigureAwait(false))
            {
                V1.HubMessage message = reply.Message ?? await AcknowledgeAsync(reply, responses, cancellationToken).ConfigureAwait(false);
                await responses.WriteAsync(message, cancellationToken).ConfigureAwait(false);
            }
        }
        finally
        {
            // Nobody waits for these any more, but their memory is the log's until they are done.
            while (_replies.Reader.TryRead(out PendingReply rest))
                _ = rest.Append?.ContinueWith(static task => _ = task.Exception, TaskScheduler.Default);
        }
    }

    /// <summary>The acknowledgement of a chunk; a refusal goes out before it where the append failed.</summary>
    private async ValueTask<V1.HubMessage> AcknowledgeAsync(
        PendingReply reply, IServerStreamWriter<V1.HubMessage> responses, CancellationToken cancellationToken)
    {
        try
        {
            // A disk that hangs does not keep the stream from ending; what was queued is appended all the same.
            if (reply.Append is not null)
                await reply.Append.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (EdgeStreamException refusal)
        {
            logger.LogWarning("{GeoLocation}: {Topic} was refused: {Problem}", geoLocation, reply.Topic, refusal.Message);
            await responses.WriteAsync(Refused(reply.Topic, refusal, reply.Log!.Offsets.End), cancellationToken).ConfigureAwait(false);
        }

        Interlocked.Add(ref _usedCredit, -reply.Credit);
        return new V1.HubMessage
        {
            Ack = new V1.MirrorAck { Topic = reply.Topic, DurableEnd = reply.Log?.Offsets.Durable ?? 0, CreditBytes = reply.Credit },
        };
    }

    private static V1.HubMessage Refused(string topic, Exception refusal, long hubEnd) => new()
    {
        Refused = new V1.TopicRefused
        {
            Topic = topic,
            ErrorCode = RpcErrors.NameOf(RpcErrors.CodeOf(refusal)),
            Message = refusal.Message,
            HubEnd = hubEnd,
        },
    };
}
