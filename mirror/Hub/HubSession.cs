using System.Threading.Channels;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.Extensions.Logging;
using ZstdSharp;

namespace EdgeStream.Mirror.Hub;

/// <summary>
/// One uplink stream at the hub: reads chunks and appends them at the offsets they bring; acknowledges each, in order, once it
/// is durable here. Many chunks are on their way at once, bounded by the window that the hub grants.
/// </summary>
internal sealed class HubSession(
    string geoLocation,
    string? startToken,
    IClusterView cluster,
    IMirrorPartitions partitions,
    GeoLocationPresence presence,
    HubFlow flow,
    CardFence fence,
    Action checkRight,
    TimeProvider time,
    ILogger logger)
{
    /// <summary>For how long an answer may wait for the edge to read: what has arrived behind it takes the hub's memory meanwhile.</summary>
    public static readonly TimeSpan MaxUnread = TimeSpan.FromSeconds(30);

    // An edge may be past a window that has become smaller, by a piece.
    private const int MaxArrivedBytes = HubFlow.MaxWindowBytes + (1024 * 1024);

    // What all but the data of a chunk and the notes of a clock fits in: a reply may say it again.
    private const int MaxMessageBytes = 2048;

    // Bounded, so that an edge that sends without reading is stopped by its own stream.
    private readonly Channel<PendingReply> _replies = Channel.CreateBounded<PendingReply>(
        new BoundedChannelOptions(2048) { SingleReader = true });

    private readonly Dictionary<string, OpenedTopic> _open = new(StringComparer.Ordinal);
    private readonly HubFlow.Share _share = new(flow);
    private readonly GeoLocationTraffic _traffic = presence.TrafficOf(geoLocation);

    /// <summary>
    /// A message to the edge; with an append, one that is sent when that has completed. Holds none of the append's memory: when it
    /// goes depends on the edge.
    /// </summary>
    private readonly record struct PendingReply(
        V1.HubMessage? Message,
        string Topic = "",
        OpenedTopic? To = null,
        Task<AppendedRange>? Append = null,
        int PieceBytes = 0);

    /// <summary>A topic as it was opened on this stream.</summary>
    private sealed class OpenedTopic(Partition partition) : IDisposable
    {
        // Set by the replying task, read by the reading one: what comes behind a refusal is passed over until it is opened again.
        private volatile bool _isRefused;
        private bool _isAbandoned;

        public Partition Partition { get; } = partition;

        public ChunkAssembly Assembly { get; } = new();

        public bool IsRefused
        {
            get => _isRefused;
            set => _isRefused = value;
        }

        /// <summary>For the reading task: whether what comes is passed over.</summary>
        public bool IsPassedOver => _isAbandoned || _isRefused;

        /// <summary>The reading task has met what is refused: what comes behind is passed over before the refusal has gone out.</summary>
        public void Abandon()
        {
            _isAbandoned = true;
            Assembly.Reset();
        }

        public void Dispose() => Assembly.Dispose();
    }

    /// <summary>
    /// Serves the stream until either side ends it, or the caller's right to it is over. <paramref name="stop"/> is cancelled when
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

        // Nobody waits for these any more, but their memory is the log's until they are done.
        while (_replies.Reader.TryRead(out PendingReply rest))
            _ = ReleaseLaterAsync(rest);

        await first.ConfigureAwait(false);
        await Task.WhenAll(reading, replying).ConfigureAwait(false);
    }

    private async Task ReadAsync(IAsyncStreamReader<V1.EdgeMessage> requests, CancellationToken cancellationToken)
    {
        using Decompressor decompressor = new();
        try
        {
            await SendAsync(Welcome(), cancellationToken).ConfigureAwait(false);
            while (await requests.MoveNext(cancellationToken).ConfigureAwait(false))
            {
                presence.Seen(geoLocation);
                _traffic.CountMessage(requests.Current.CalculateSize());
                checkRight();
                CheckSize(requests.Current);
                await HandleAsync(requests.Current, decompressor, cancellationToken).ConfigureAwait(false);
            }
        }
        finally
        {
            _replies.Writer.TryComplete();
            foreach (OpenedTopic topic in _open.Values)
                topic.Dispose();
        }
    }

    /// <summary>Ends a stream on which nothing moves, too.</summary>
    private async Task WatchRightAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            TopologyMap known = cluster.Current;
            checkRight();
            await cluster.WaitForChangeAsync(known, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <exception cref="ClusterException">It has more besides the data of a chunk than any message needs.</exception>
    public static void CheckSize(V1.EdgeMessage message)
    {
        int size = message.CalculateSize() - (message.Chunk?.Data.Length ?? 0);
        if (size > MaxMessageBytes && message.Clock is null)
            throw new ClusterException(ErrorCode.InvalidArgument, $"a message of {size} bytes besides its data was sent; {MaxMessageBytes} is the most");
    }

    private V1.HubMessage Welcome() => new()
    {
        Welcome = new V1.Welcome
        {
            ClusterId = cluster.Current.ClusterId,
            GeoLocation = geoLocation,
            WindowBytes = flow.WindowBytes,
            StartToken = startToken ?? "",
            Topics = { cluster.Current.Topics.Values.Where(topic => topic.Settings.AtEveryEdge).Select(topic => topic.Name) },
        },
    };

    private ValueTask HandleAsync(V1.EdgeMessage message, Decompressor decompressor, CancellationToken cancellationToken) => message.MessageCase switch
    {
        V1.EdgeMessage.MessageOneofCase.Open => OpenAsync(message.Open, cancellationToken),
        V1.EdgeMessage.MessageOneofCase.Chunk => AppendAsync(message.Chunk, decompressor, cancellationToken),
        V1.EdgeMessage.MessageOneofCase.Gap => TakeGapAsync(message.Gap, cancellationToken),
        V1.EdgeMessage.MessageOneofCase.Position => TakePosition(message.Position),
        V1.EdgeMessage.MessageOneofCase.TokenKept => TakeToken(message.TokenKept),
        V1.EdgeMessage.MessageOneofCase.Diverged => TakeDiverged(message.Diverged),
        V1.EdgeMessage.MessageOneofCase.Clock => TakeClock(message.Clock),

        // Of a newer edge: what it means cannot matter to a hub that does not know it.
        _ => ValueTask.CompletedTask,
    };

    private ValueTask TakePosition(V1.Position position)
    {
        if (_open.TryGetValue(position.Topic, out OpenedTopic? topic))
            topic.Partition.Edge = new EdgeProgress(position.Durable, position.LagBytes, position.LagMs);

        return ValueTask.CompletedTask;
    }

    private ValueTask TakeClock(V1.ClockNotes notes)
    {
        if (_open.TryGetValue(notes.Topic, out OpenedTopic? topic))
            topic.Partition.Log.Clock.Adopt(notes.Anchors.Span);

        return ValueTask.CompletedTask;
    }

    private ValueTask TakeToken(V1.TokenKept kept) => new(fence.ConfirmAsync(geoLocation, kept.StartToken));

    private ValueTask TakeDiverged(V1.Diverged diverged)
    {
        if (_open.Remove(diverged.Topic, out OpenedTopic? topic))
        {
            topic.Partition.MirrorProblem = diverged.Message;
            topic.Dispose();
            logger.LogWarning("{GeoLocation} does not mirror {Topic}: {Problem}", geoLocation, diverged.Topic, diverged.Message);
        }

        return ValueTask.CompletedTask;
    }

    private async ValueTask OpenAsync(V1.OpenTopic open, CancellationToken cancellationToken)
    {
        V1.HubMessage answer;
        try
        {
            PartitionId id = await partitions.EnsureMirrorPartitionAsync(open.Topic, geoLocation).ConfigureAwait(false);
            Partition partition = cluster.GetPartition(id.Topic, id.Partition);
            long resume = await CheckContinuesAsync(partition, open).ConfigureAwait(false);

            // The edge takes what lies below for mirrored, so it must be durable before it is told.
            await partition.Log.WaitForDurableAsync(resume, cancellationToken).ConfigureAwait(false);
            partition.Edge = new EdgeProgress(open.Durable);
            partition.MirrorProblem = null;
            if (_open.Remove(open.Topic, out OpenedTopic? before))
                before.Dispose();

            (long lastBatch, uint crc) = await BatchProofs.LastAsync(partition.Log, resume, cancellationToken).ConfigureAwait(false);
            _open[open.Topic] = new OpenedTopic(partition);
            answer = new V1.HubMessage
            {
                Opened = new V1.TopicOpened
                {
                    Topic = open.Topic,
                    Partition = id.Partition,
                    ResumeOffset = resume,
                    LastBatchOffset = lastBatch,
                    LastBatchCrc = crc,
                    LastClockAnchor = UnsafeByteOperations.UnsafeWrap(partition.Log.Clock.History.EncodeLast()),
                },
            };
        }
        catch (Exception refusal) when (refusal is EdgeStreamException or IOException)
        {
            answer = Refused(open.Topic, refusal, hubEnd: -1);
        }

        await SendAsync(answer, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Whether the edge's log is the one that the partition was filled from; where it goes on.</summary>
    private static async ValueTask<long> CheckContinuesAsync(Partition partition, V1.OpenTopic open)
    {
        long end = partition.Log.Offsets.End;
        await MirrorOrigin.CheckOrAdoptAsync(partition, open.Incarnation, open.FirstOffset).ConfigureAwait(false);
        if (end > open.Durable)
        {
            throw new ClusterException(
                ErrorCode.OffsetConflict,
                $"{partition.Id} ends at {end} here but at {open.Durable} at the edge: the edge has lost records (a card restored from an old image?); "
                + "nothing was changed; 'edgestream join HUB --token TOKEN --replace' on the edge goes on behind what is here");
        }

        return end;
    }

    private async ValueTask AppendAsync(V1.Chunk piece, Decompressor decompressor, CancellationToken cancellationToken)
    {
        int size = piece.Data.Length;
        if (_share.Bytes + size > MaxArrivedBytes)
            throw new ClusterException(ErrorCode.InvalidArgument, $"'{geoLocation}' has sent more than the {HubFlow.MaxWindowBytes} bytes that it was granted");

        await _share.TakeAsync(size, cancellationToken).ConfigureAwait(false);
        var reply = new PendingReply(null, PieceBytes: size);
        try
        {
            reply = await TakePieceAsync(piece, reply, decompressor, cancellationToken).ConfigureAwait(false);
            await _replies.Writer.WriteAsync(reply, cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            _ = ReleaseLaterAsync(reply);
            throw;
        }
    }

    private async ValueTask<PendingReply> TakePieceAsync(
        V1.Chunk piece, PendingReply reply, Decompressor decompressor, CancellationToken cancellationToken)
    {
        // A topic that was refused while chunks of it were on their way: they are passed over.
        if (!_open.TryGetValue(piece.Topic, out OpenedTopic? topic))
            return reply;

        reply = reply with { Topic = piece.Topic };
        if (topic.IsPassedOver)
            return reply with { To = topic };

        RentedBytes? memory = null;
        try
        {
            if (piece.More && !topic.Assembly.HasBegun)
                await topic.Assembly.BeginAsync(piece, _share, cancellationToken).ConfigureAwait(false);

            if (topic.Assembly.HasBegun && (memory = topic.Assembly.Add(piece)) is null)
                return reply;

            if (memory is not null && piece.UncompressedBytes == 0)
                memory.Recharge(await flow.ChargeWholeAsync(memory.Memory.Length, cancellationToken).ConfigureAwait(false));

            if (piece.UncompressedBytes != 0)
            {
                using RentedBytes? frame = memory;
                memory = null;
                memory = await InflateAsync(frame?.Memory ?? piece.Data.Memory, piece.UncompressedBytes, decompressor, cancellationToken)
                    .ConfigureAwait(false);
            }

            ReadOnlyMemory<byte> batches = memory?.Memory ?? piece.Data.Memory;
            _traffic.CountBatches(batches.Length);
            topic.Partition.Edge = topic.Partition.Edge with { Durable = piece.Durable };
            reply = reply with { To = topic };
            var poison = RecordChecks.FindPoison(batches);
            ReadOnlyMemory<byte> good = poison is var (position, _) ? batches[..position] : batches;
            if (poison is not null)
                topic.Abandon();

            if (good.IsEmpty && poison is var (_, problem))
                return reply with { Append = Task.FromException<AppendedRange>(problem) };

            Task<AppendedRange> append = await topic.Partition.Log.EnqueueVerbatimAsync(good, AckLevel.Durable, cancellationToken).ConfigureAwait(false);
            reply = reply with { Append = AppendedAsync(append, memory, poison?.Problem) };
            memory = null;
            return reply;
        }
        catch (EdgeStreamException refusal)
        {
            topic.Abandon();
            return reply with { To = topic, Append = Task.FromException<AppendedRange>(refusal) };
        }
        finally
        {
            memory?.Dispose();
        }
    }

    private async ValueTask<RentedBytes> InflateAsync(
        ReadOnlyMemory<byte> frame, int bytes, Decompressor decompressor, CancellationToken cancellationToken)
    {
        ChunkCodec.CheckSize(bytes);
        IDisposable charge = await flow.ChargeWholeAsync(bytes, cancellationToken).ConfigureAwait(false);
        try
        {
            return ChunkCodec.Decompress(decompressor, frame.Span, bytes, charge);
        }
        catch
        {
            charge.Dispose();
            throw;
        }
    }

    /// <summary>The append, after which its memory is given back at once, whether or not the edge reads what it is told of it.</summary>
    private static async Task<AppendedRange> AppendedAsync(Task<AppendedRange> append, RentedBytes? memory, PoisonBatchException? poison)
    {
        AppendedRange range;
        using (memory)
            range = await append.ConfigureAwait(false);

        return poison is null ? range : throw poison;
    }

    private async ValueTask TakeGapAsync(V1.MirrorGap gap, CancellationToken cancellationToken)
    {
        var reply = new PendingReply(null);
        if (_open.TryGetValue(gap.Topic, out OpenedTopic? topic))
        {
            Task<AppendedRange>? append = topic.IsPassedOver ? null : await AppendGapAsync(topic, gap, cancellationToken).ConfigureAwait(false);
            reply = new PendingReply(null, gap.Topic, topic, append);
        }

        await _replies.Writer.WriteAsync(reply, cancellationToken).ConfigureAwait(false);
    }

    private static async ValueTask<Task<AppendedRange>> AppendGapAsync(OpenedTopic topic, V1.MirrorGap gap, CancellationToken cancellationToken)
    {
        try
        {
            if (gap.Durable > 0)
                topic.Partition.Edge = topic.Partition.Edge with { Durable = gap.Durable };

            if (gap.LastOffset >= topic.Partition.Edge.Durable)
            {
                throw new ClusterException(
                    ErrorCode.InvalidArgument,
                    $"a gap of offsets {gap.FirstOffset} to {gap.LastOffset} was sent, but the edge's log ends at {topic.Partition.Edge.Durable}; nothing was changed");
            }

            return await topic.Partition.Log.EnqueueGapAsync(MirrorGaps.FromMessage(gap), cancellationToken).ConfigureAwait(false);
        }
        catch (EdgeStreamException refusal)
        {
            topic.Abandon();
            return Task.FromException<AppendedRange>(refusal);
        }
    }

    private async ValueTask SendAsync(V1.HubMessage message, CancellationToken cancellationToken) =>
        await _replies.Writer.WriteAsync(new PendingReply(message), cancellationToken).ConfigureAwait(false);

    private async Task ReplyAsync(IServerStreamWriter<V1.HubMessage> responses, CancellationToken cancellationToken)
    {
        await foreach (PendingReply reply in _replies.Reader.ReadAllAsync(cancellationToken).ConfigureAwait(false))
        {
            V1.HubMessage message = reply.Message ?? await AcknowledgeAsync(reply, responses, cancellationToken).ConfigureAwait(false);
            await WriteAsync(responses, message, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <exception cref="ClusterException">The edge does not read; its stream was aborted.</exception>
    private async Task WriteAsync(IServerStreamWriter<V1.HubMessage> responses, V1.HubMessage message, CancellationToken cancellationToken)
    {
        using var unread = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task writing = responses.WriteAsync(message, unread.Token);
        try
        {
            await writing.WaitAsync(MaxUnread, time, CancellationToken.None).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            await unread.CancelAsync().ConfigureAwait(false);
            await writing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            throw new ClusterException(ErrorCode.Unavailable, $"'{geoLocation}' has read nothing for {MaxUnread.TotalSeconds:0} s; it is to connect anew");
        }
    }

    /// <summary>The acknowledgement of a piece or a gap; a refusal goes out before it where the append failed.</summary>
    private async ValueTask<V1.HubMessage> AcknowledgeAsync(
        PendingReply reply, IServerStreamWriter<V1.HubMessage> responses, CancellationToken cancellationToken)
    {
        long durable = 0;
        try
        {
            // A disk that hangs does not keep the stream from ending; what was queued is appended all the same.
            if (reply.Append is not null)
                await reply.Append.WaitAsync(cancellationToken).ConfigureAwait(false);

            Release(reply);
            durable = reply.To?.Partition.Log.Offsets.Durable ?? 0;
        }
        catch (OperationCanceledException)
        {
            _ = ReleaseLaterAsync(reply);
            throw;
        }
        catch (EdgeStreamException refusal)
        {
            Release(reply);
            OpenedTopic topic = reply.To!;
            durable = topic.Partition.IsOpen ? topic.Partition.Log.Offsets.Durable : 0;
            if (!topic.IsRefused)
            {
                topic.IsRefused = true;
                topic.Partition.MirrorProblem = refusal.Message;
                logger.LogWarning("{GeoLocation}: {Topic} was refused: {Problem}", geoLocation, reply.Topic, refusal.Message);
                await WriteAsync(responses, Refused(reply.Topic, refusal, topic.Partition.Log.Offsets.End), cancellationToken).ConfigureAwait(false);
            }
        }

        return new V1.HubMessage
        {
            Ack = new V1.MirrorAck
            {
                Topic = reply.Topic,
                DurableEnd = durable,
                PieceBytes = reply.PieceBytes,
                WindowBytes = flow.WindowBytes,
            },
        };
    }

    private void Release(PendingReply reply)
    {
        if (reply.PieceBytes > 0)
            _share.Return(reply.PieceBytes);
    }

    private async Task ReleaseLaterAsync(PendingReply reply)
    {
        if (reply.Append is not null)
            await ((Task)reply.Append).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        Release(reply);
    }

    private static V1.HubMessage Refused(string topic, Exception refusal, long hubEnd) => new()
    {
        Refused = new V1.TopicRefused
        {
            Topic = topic,
            ErrorCode = RpcErrors.NameOf(refusal is PoisonBatchException ? ErrorCode.CorruptBatch : RpcErrors.CodeOf(refusal)),
            Message = refusal.Message,
            HubEnd = hubEnd,
            Poison = refusal is PoisonBatchException poison
                ? new V1.PoisonBatch { FirstOffset = poison.First, LastOffset = poison.Last }
                : null,
        },
    };
}
