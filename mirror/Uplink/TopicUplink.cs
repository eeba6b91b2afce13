using EdgeStream.Cluster.Spu;
using EdgeStream.Storage;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using EdgeStream.Storage.Time;
using Google.Protobuf;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// One mirror topic on one stream: asks the hub where the copy goes on, makes sure that both hold the same data up to there,
/// then sends what is durable, chunk by chunk, as its turns come.
/// </summary>
internal sealed class TopicUplink(
    string topic,
    int priority,
    PartitionLog log,
    HubMarks marks,
    UplinkOptions options,
    UplinkWriter writer,
    FlowWindow window,
    LinkLimits limits,
    ChunkCompressor compressor,
    UnfinishedChunks unfinished,
    DeadLetters deadLetters,
    IUplinkObserver observer,
    TimeProvider time,
    ILogger logger)
{
    private const int MinChunkBytes = 8 * 1024;

    // What readings usually compress to, until it is known.
    private const double FirstRatio = 4;

    // How many chunks go as they are after one that did not compress.
    private const int ChunksUncompressed = 16;

    private readonly Lock _lock = new();
    private TaskCompletionSource<V1.TopicOpened?>? _opening;
    private CancellationTokenSource? _sending;
    private V1.TopicRefused? _poisoned;
    private int _uncompressedChunks;
    private double _ratio = FirstRatio;

    public void Opened(V1.TopicOpened opened)
    {
        lock (_lock)
            _opening?.TrySetResult(opened);
    }

    /// <exception cref="IOException">The hub acknowledges what it cannot have.</exception>
    public void Acknowledged(long durableEnd)
    {
        if (durableEnd > log.Offsets.Durable)
            throw new IOException($"the hub has acknowledged offsets of {topic} that were never sent; ask its operator");

        marks.Report(log, durableEnd);
    }

    /// <summary>The hub takes no more of this topic for now; it is offered again later, or once what it never takes is put aside.</summary>
    public void Refused(V1.TopicRefused refused)
    {
        observer.Refused(topic, refused.Message, refused.Poison is null && UplinkErrors.NeedsSomebody(UplinkErrors.CodeOf(refused.ErrorCode)));
        if (refused.Poison is null)
        {
            logger.LogWarning(
                "the hub refused {Topic}: {Problem}; offered again in {Seconds:0} s", topic, refused.Message, options.RefusedRetry.TotalSeconds);
        }

        lock (_lock)
        {
            _poisoned = refused.Poison is null ? null : refused;
            _opening?.TrySetResult(null);
            _sending?.Cancel();
        }
    }

    /// <summary>Mirrors until cancelled, or until the log is closed (its topic deleted).</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        try
        {
            while (true)
            {
                try
                {
                    if (await OpenAsync(cancellationToken).ConfigureAwait(false) is { } opened)
                        await MirrorFromAsync(opened, cancellationToken).ConfigureAwait(false);

                    if (await PutPoisonAsideAsync().ConfigureAwait(false))
                        continue;
                }
                catch (Exception problem) when (problem is IOException or EdgeStreamException and not LogClosedException)
                {
                    // This log cannot be read; the other topics go on.
                    observer.Refused(topic, problem.Message, needsSomebody: true);
                    logger.LogError("{Topic} cannot be mirrored: {Problem}", topic, problem.Message);
                }

                await Task.Delay(options.RefusedRetry, time, cancellationToken).ConfigureAwait(false);
            }
        }
        catch (LogClosedException)
        {
            observer.Settled(topic);
        }
    }

    /// <summary>Offers the topic; null where the hub refuses it, or holds other data.</summary>
    private async Task<V1.TopicOpened?> OpenAsync(CancellationToken cancellationToken)
    {
        var opening = new TaskCompletionSource<V1.TopicOpened?>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock)
            _opening = opening;

        LogOffsets offsets = log.Offsets;
        var open = new V1.OpenTopic
        {
            Topic = topic,
            Incarnation = log.Manifest.Incarnation.ToString("N"),
            LogStart = offsets.Start,
            Durable = offsets.Durable,
            FirstOffset = log.Manifest.FirstOffset,
        };
        await writer.SendControlAsync(new V1.EdgeMessage { Open = open }, cancellationToken).ConfigureAwait(false);
        V1.TopicOpened? opened = await opening.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        if (opened is null)
            return null;

        if (MirrorHistory.FindDifference(log, opened) is { } difference)
        {
            observer.Refused(topic, difference, needsSomebody: true);
            logger.LogError("{Topic} is not mirrored: {Problem}", topic, difference);
            var diverged = new V1.Diverged { Topic = topic, Message = difference };
            await writer.SendControlAsync(new V1.EdgeMessage { Diverged = diverged }, cancellationToken).ConfigureAwait(false);
            return null;
        }

        // The last that the hub has is a batch: so the records before it are there, whatever was noted here when they went.
        if (opened.LastBatchOffset >= 0)
            log.TakeBackBelow(opened.ResumeOffset);

        marks.Report(log, opened.ResumeOffset);
        observer.Settled(topic);
        return opened;
    }

    private async ValueTask<bool> PutPoisonAsideAsync()
    {
        V1.TopicRefused? poisoned;
        lock (_lock)
            (poisoned, _poisoned) = (_poisoned, null);

        if (poisoned is null)
            return false;

        await deadLetters
            .TakeAsync(topic, log, poisoned.Poison.FirstOffset, poisoned.Poison.LastOffset, poisoned.Message)
            .ConfigureAwait(false);
        return true;
    }

    private async Task MirrorFromAsync(V1.TopicOpened opened, CancellationToken cancellationToken)
    {
        using var sending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        lock (_lock)
            _sending = sending;

        Task positions = TellPositionsAsync(opened.LastClockAnchor, sending.Token);
        try
        {
            await SendChunksAsync(opened.ResumeOffset, sending.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // Refused.
        }
        finally
        {
            lock (_lock)
                _sending = null;

            await sending.CancelAsync().ConfigureAwait(false);
            await positions.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task SendChunksAsync(long resume, CancellationToken cancellationToken)
    {
        long next = resume;
        while (true)
        {
            next = await SendGapsAsync(next, cancellationToken).ConfigureAwait(false);
            try
            {
                using LogReader reader = log.OpenReader(next);
                next = await SendRunAsync(reader, cancellationToken).ConfigureAwait(false);
            }
            catch (OffsetOutOfRangeException) when (FindGap(next) is not null)
            {
                // Retention was faster than the link. What it took goes up as a gap, and the mirror goes on behind it.
            }
        }
    }

    private Gap? FindGap(long next)
    {
        // In this order: what retention takes is noted before the log's start moves.
        long start = log.StartOffset;
        return MirrorGaps.FindAt(next, start, log.FindNextGap(next), time.GetUtcNow());
    }

    /// <summary>The gaps at an offset, in the place of their records; where the log goes on.</summary>
    private async ValueTask<long> SendGapsAsync(long next, CancellationToken cancellationToken)
    {
        while (FindGap(next) is { } gap)
        {
            V1.MirrorGap message = MirrorGaps.ToMessage(topic, gap with { First = next }, log.Offsets.Durable);
            using UplinkWriter.Turn turn = await writer.WaitForTurnAsync(priority, cancellationToken).ConfigureAwait(false);
            await turn.SendGapAsync(message).ConfigureAwait(false);
            next = gap.Last + 1;
        }

        return next;
    }

    /// <summary>Sends chunks until a gap comes; the offset at which it starts.</summary>
    private async ValueTask<long> SendRunAsync(LogReader reader, CancellationToken cancellationToken)
    {
        while (true)
        {
            await reader.WaitAsync(cancellationToken).ConfigureAwait(false);
            if (options.Linger > TimeSpan.Zero)
                await Task.Delay(options.Linger, time, cancellationToken).ConfigureAwait(false);

            long next = reader.NextOffset;
            if (log.FindGap(next) is not null)
                return next;

            // Read only now that it can go: what waits, waits in the log.
            UplinkWriter.Turn turn = await writer.WaitForTurnAsync(priority, cancellationToken).ConfigureAwait(false);
            try
            {
                using LogSlice slice = reader.Read(ChunkBytes());
                if (slice.IsEmpty || slice.BaseOffset > next)
                    return next; // Damage was found here, and became a gap.

                using RentedBytes? compressed = TryCompress(slice.Batches.Span);
                _ratio = compressed is null ? 1 : (double)slice.Batches.Length / compressed.Memory.Length;
                turn = await SendPiecesAsync(turn, slice.Batches.Length, compressed?.Memory ?? slice.Batches, compressed is not null, cancellationToken)
                    .ConfigureAwait(false);
            }
            catch (OffsetOutOfRangeException) when (FindGap(next) is not null)
            {
                return next;
            }
            finally
            {
                turn.Dispose();
            }
        }
    }

    /// <summary>About a window full, compressed: on a slow link, a second or two of it, so that acknowledgements keep coming.</summary>
    private int ChunkBytes() => (int)Math.Clamp(_ratio * window.Size, MinChunkBytes, Math.Max(MinChunkBytes, options.ChunkBytes));

    private RentedBytes? TryCompress(ReadOnlySpan<byte> batches)
    {
        if (_uncompressedChunks > 0)
        {
            _uncompressedChunks--;
            return null;
        }

        RentedBytes? compressed = compressor.TryCompress(batches);
        _uncompressedChunks = compressed is null ? ChunksUncompressed : 0;
        return compressed;
    }

    /// <summary>Sends a chunk, each piece of it in a turn of its own; the last of the turns is the caller's to end.</summary>
    private async ValueTask<UplinkWriter.Turn> SendPiecesAsync(
        UplinkWriter.Turn turn, int batchBytes, ReadOnlyMemory<byte> data, bool isCompressed, CancellationToken cancellationToken)
    {
        observer.Sending(batchBytes, data.Length);
        int bytes = data.Length;
        if (bytes <= window.PieceBytes)
        {
            await SendPieceAsync(turn, LastPiece(data, batchBytes, isCompressed)).ConfigureAwait(false);
            return turn;
        }

        // Nobody else waits meanwhile.
        Task room = unfinished.BeginAsync(bytes, cancellationToken).AsTask();
        bool keepsTurn = room.IsCompletedSuccessfully;
        if (!keepsTurn)
            turn.Dispose();

        await room.ConfigureAwait(false);
        try
        {
            return await SendInPiecesAsync(keepsTurn ? turn : null, data, batchBytes, isCompressed, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            unfinished.End(bytes);
        }
    }

    private async ValueTask<UplinkWriter.Turn> SendInPiecesAsync(
        UplinkWriter.Turn? turn, ReadOnlyMemory<byte> data, int batchBytes, bool isCompressed, CancellationToken cancellationToken)
    {
        for (int chunkBytes = data.Length; ; chunkBytes = 0)
        {
            turn ??= await writer.WaitForTurnAsync(priority, cancellationToken).ConfigureAwait(false);
            int size = Math.Min(data.Length, window.PieceBytes);
            if (size == data.Length)
            {
                await SendPieceAsync(turn, LastPiece(data, batchBytes, isCompressed)).ConfigureAwait(false);
                return turn;
            }

            var piece = new V1.Chunk { Topic = topic, Data = UnsafeByteOperations.UnsafeWrap(data[..size]), More = true, ChunkBytes = chunkBytes };
            await SendPieceAsync(turn, piece).ConfigureAwait(false);
            data = data[size..];
            turn.Dispose();
            turn = null;
        }
    }

    private V1.Chunk LastPiece(ReadOnlyMemory<byte> data, int batchBytes, bool isCompressed) => new()
    {
        Topic = topic,
        Data = UnsafeByteOperations.UnsafeWrap(data),
        UncompressedBytes = isCompressed ? batchBytes : 0,
        Durable = log.Offsets.Durable,
    };

    /// <summary>Where that fails, the turn is over.</summary>
    private static async ValueTask SendPieceAsync(UplinkWriter.Turn turn, V1.Chunk piece)
    {
        try
        {
            await turn.SendPieceAsync(piece).ConfigureAwait(false);
        }
        catch
        {
            turn.Dispose();
            throw;
        }
    }
    /// <summary>Lets the hub see the lag while chunks wait, and how the clock stood that has stamped the records.</summary>
    private async Task TellPositionsAsync(ByteString lastAnchor, CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(options.PositionInterval, time);
        var pace = new PositionPace(time);
        ClockHistory clock = await TellClockAsync(null, lastAnchor.Memory, cancellationToken).ConfigureAwait(false);
        while (await timer.WaitForNextTickAsync(cancellationToken).ConfigureAwait(false))
        {
            clock = await TellClockAsync(clock, clock.EncodeLast(), cancellationToken).ConfigureAwait(false);
            LogOffsets offsets = log.Offsets;
            if (!pace.IsDue(offsets, limits.IsMonthUsedUp))
                continue;

            MirrorLag lag = MirrorLag.Of(log);
            var position = new V1.Position
            {
                Topic = topic,
                Durable = offsets.Durable,
                LagBytes = lag.Bytes,
                LagMs = (long)(lag.AgeAt(time.GetUtcNow())?.TotalMilliseconds ?? 0),
            };
            await writer.SendControlAsync(new V1.EdgeMessage { Position = position }, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Sends what there is behind the last anchor that the hub has; what is known now.</summary>
    private async ValueTask<ClockHistory> TellClockAsync(ClockHistory? told, ReadOnlyMemory<byte> lastAnchor, CancellationToken cancellationToken)
    {
        ClockHistory history = log.Clock.History;
        if (history == told || history.EncodeBehind(lastAnchor.Span) is not { Length: > 0 } anchors)
            return history;

        var notes = new V1.ClockNotes { Topic = topic, Anchors = UnsafeByteOperations.UnsafeWrap(anchors) };
        await writer.SendControlAsync(new V1.EdgeMessage { Clock = notes }, cancellationToken).ConfigureAwait(false);
        return history;
    }
}
