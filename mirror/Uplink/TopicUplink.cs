using System.Threading.Channels;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using Google.Protobuf;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// One mirror topic on one stream: asks the hub where the copy goes on, then sends what is durable, as far as the credit that
/// all topics share lets it (first come, first served, so none starves).
/// </summary>
internal sealed class TopicUplink(
    string topic,
    PartitionLog log,
    UplinkOptions options,
    TimeProvider time,
    ChannelWriter<(V1.EdgeMessage Message, LogSlice? Slice)> outgoing,
    ByteBudget credit,
    IUplinkObserver observer,
    ILogger logger)
{
    private readonly Lock _lock = new();
    private TaskCompletionSource<long>? _opening;
    private CancellationTokenSource? _sending;

    public void Opened(long resumeOffset)
    {
        log.SetMirrored(resumeOffset);
        lock (_lock)
            _opening?.TrySetResult(resumeOffset);
    }

    public void Acknowledged(long durableEnd) => log.SetMirrored(durableEnd);

    /// <summary>The hub takes no more of this topic for now; it is offered again later.</summary>
    public void Refused(string problem)
    {
        observer.Refused(problem);
        logger.LogWarning("the hub refused {Problem}; offered again in {Seconds:0} s", problem, options.RefusedRetry.TotalSeconds);
        lock (_lock)
        {
            _opening?.TrySetResult(-1);
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
                    long resume = await OpenAsync(cancellationToken).ConfigureAwait(false);
                    if (resume >= 0)
                        await MirrorFromAsync(resume, cancellationToken).ConfigureAwait(false);
                }
                catch (Exception problem) when (problem is IOException or EdgeStreamException and not LogClosedException)
                {
                    // This log cannot be read; the other topics go on.
                    observer.Refused($"{topic}: {problem.Message}");
                    logger.LogError("{Topic} cannot be mirrored: {Problem}", topic, problem.Message);
                }

                await Task.Delay(options.RefusedRetry, time, cancellationToken).ConfigureAwait(false);
            }
        }
        catch (LogClosedException)
        {
        }
    }

    private async Task<long> OpenAsync(CancellationToken cancellationToken)
    {
        var opening = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock)
            _opening = opening;

        LogOffsets offsets = log.Offsets;
        var open = new V1.OpenTopic
        {
            Topic = topic,
            Incarnation = log.Manifest.Incarnation.ToString("N"),
            LogStart = offsets.Start,
            Durable = offsets.Durable,
        };
        await outgoing.WriteAsync((new V1.EdgeMessage { Open = open }, null), cancellationToken).ConfigureAwait(false);
        return await opening.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    private async Task MirrorFromAsync(long resume, CancellationToken cancellationToken)
    {
        using var sending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        lock (_lock)
            _sending = sending;

        Task positions = TellPositionsAsync(sending.Token);
        try
        {
            await SendChunksAsync(resume, sending.Token).ConfigureAwait(false);
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
            catch (OffsetOutOfRangeException) when (log.FindGap(next) is not null)
            {
                // Retention was faster than the link. What it took goes up as a gap, and the mirror goes on behind it.
            }
        }
    }

    /// <summary>The gaps at an offset, in the place of their records; where the log goes on.</summary>
    private async ValueTask<long> SendGapsAsync(long next, CancellationToken cancellationToken)
    {
        while (log.FindGap(next) is { } gap)
        {
            V1.MirrorGap message = MirrorGaps.ToMessage(topic, gap with { First = next });
            await outgoing.WriteAsync((new V1.EdgeMessage { Gap = message }, null), cancellationToken).ConfigureAwait(false);
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
            long next = reader.NextOffset;
            if (log.FindGap(next) is not null)
                return next;

            LogSlice slice;
            try
            {
                slice = reader.Read(options.ChunkBytes);
            }
            catch (OffsetOutOfRangeException) when (log.FindGap(next) is not null)
            {
                return next;
            }

            if (slice.IsEmpty || slice.BaseOffset > next)
            {
                // Damage was found here, and became a gap.
                slice.Dispose();
                return next;
            }

            try
            {
                await credit.AcquireAsync(slice.Batches.Length, cancellationToken).ConfigureAwait(false);
            }
            catch
            {
                slice.Dispose();
                throw;
            }

            await SendAsync(slice, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Hands a chunk on that has its credit; takes both back where it cannot.</summary>
    private async ValueTask SendAsync(LogSlice slice, CancellationToken cancellationToken)
    {
        int size = slice.Batches.Length;
        try
        {
            var chunk = new V1.Chunk
            {
                Topic = topic,
                Batches = UnsafeByteOperations.UnsafeWrap(slice.Batches),
                Durable = log.Offsets.Durable,
            };
            await outgoing.WriteAsync((new V1.EdgeMessage { Chunk = chunk }, slice), cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            slice.Dispose();
            credit.Release(size);
            throw;
        }
    }

    /// <summary>Lets the hub see the lag while chunks wait for credit.</summary>
    private async Task TellPositionsAsync(CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(options.PositionInterval, time);
        long told = -1;
        while (await timer.WaitForNextTickAsync(cancellationToken).ConfigureAwait(false))
        {
            long durable = log.Offsets.Durable;
            if (durable == told)
                continue;

            told = durable;
            var position = new V1.Position { Topic = topic, Durable = durable };
            await outgoing.WriteAsync((new V1.EdgeMessage { Position = position }, null), cancellationToken).ConfigureAwait(false);
        }
    }
}
