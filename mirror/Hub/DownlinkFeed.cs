using EdgeStream.Cluster;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using Google.Protobuf;

namespace EdgeStream.Mirror.Hub;

/// <summary>
/// Sends one partition down, from where the edge's copy ends: batches verbatim, and gaps in the place of those in which every
/// record has expired by now, and of what the hub has lost. So the offsets stay the same, and the edge is never told what is too late.
/// </summary>
/// <param name="topic">The topic's name.</param>
/// <param name="log">The partition's log.</param>
/// <param name="timeToLive">The topic's at this moment; null for ever.</param>
/// <param name="time">The hub's clock.</param>
/// <param name="send">Takes a message, whose memory is free when it has completed.</param>
internal sealed class DownlinkFeed(
    string topic,
    IPartitionLog log,
    Func<TimeSpan?> timeToLive,
    TimeProvider time,
    Func<V1.DownHubMessage, CancellationToken, ValueTask> send)
{
    private const int MaxBatchBytes = 256 * 1024;

    private readonly string _incarnation = log.Manifest.Incarnation.ToString("N");

    // What has expired and was not told yet: thousands of batches become one gap.
    private Gap? _expired;

    /// <summary>Runs until it is cancelled.</summary>
    /// <param name="offset">Where the edge's copy ends.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <exception cref="ClusterException">The edge's copy goes beyond the log.</exception>
    /// <exception cref="LogClosedException">The topic was deleted.</exception>
    public async Task RunAsync(long offset, CancellationToken cancellationToken)
    {
        long durable = log.Offsets.Durable;
        if (offset < 0 || offset > durable)
        {
            throw new ClusterException(
                ErrorCode.OffsetConflict,
                $"'{topic}' ends at {durable} at the hub but at {offset} at the edge: the hub has lost records (an old backup?)");
        }

        while (true)
        {
            offset = await SendLostAsync(offset, cancellationToken).ConfigureAwait(false);
            using IPartitionReader? reader = TryOpenReader(offset);
            if (reader is not null)
                offset = await SendRunAsync(reader, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Null where retention was faster: what it took goes down as a gap.</summary>
    private IPartitionReader? TryOpenReader(long offset)
    {
        try
        {
            return log.OpenReader(offset);
        }
        catch (OffsetOutOfRangeException) when (log.StartOffset > offset)
        {
            return null;
        }
    }

    /// <summary>What the log does not hold any more at an offset goes down as gaps; where it goes on.</summary>
    private async ValueTask<long> SendLostAsync(long next, CancellationToken cancellationToken)
    {
        while (true)
        {
            Gap? lost = log.FindGap(next) is { } known ? known with { First = next } : null;

            // Dropped after an edge had it, of which the ledger says nothing; this edge is another, or has lost its copy.
            if (lost is null && log.StartOffset is var start && start > next)
                lost = new Gap(next, start - 1, 0, -1, -1, GapReason.Retention, Now());

            if (lost is null)
                return next;

            await SendExpiredAsync(cancellationToken).ConfigureAwait(false);
            await SendGapAsync(lost, cancellationToken).ConfigureAwait(false);
            next = lost.Last + 1;
        }
    }

    /// <summary>Sends until a gap comes; the offset at which it starts.</summary>
    private async ValueTask<long> SendRunAsync(IPartitionReader reader, CancellationToken cancellationToken)
    {
        while (true)
        {
            long next = reader.NextOffset;
            if (log.Offsets.Durable <= next)
                await SendExpiredAsync(cancellationToken).ConfigureAwait(false);

            await reader.WaitAsync(cancellationToken).ConfigureAwait(false);
            if (log.FindGap(next) is not null)
                return next;

            using LogSlice? slice = await TryReadAsync(reader, next, cancellationToken).ConfigureAwait(false);
            if (slice is null)
                return next;

            await SendSliceAsync(slice.Batches, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Null where what was at the offset is lost since: by retention, or because damage was found.</summary>
    private async ValueTask<LogSlice?> TryReadAsync(IPartitionReader reader, long offset, CancellationToken cancellationToken)
    {
        try
        {
            LogSlice slice = await reader.ReadAsync(MaxBatchBytes, cancellationToken: cancellationToken).ConfigureAwait(false);
            if (!slice.IsEmpty && slice.BaseOffset <= offset)
                return slice;

            slice.Dispose();
            return null;
        }
        catch (OffsetOutOfRangeException) when (log.StartOffset > offset)
        {
            return null;
        }
    }

    private async ValueTask SendSliceAsync(ReadOnlyMemory<byte> batches, CancellationToken cancellationToken)
    {
        var expiry = new RecordExpiry(timeToLive());
        long now = Now();
        ReadOnlyMemory<byte> rest = batches;
        int live = 0;
        foreach ((RecordBatchHeader header, ReadOnlyMemory<byte> batch) in RecordBatches.Split(batches))
        {
            if (expiry.ExpiresAt(batch) > now)
            {
                live += batch.Length;
                continue;
            }

            await SendLiveAsync(rest[..live], cancellationToken).ConfigureAwait(false);
            rest = rest[(live + batch.Length)..];
            live = 0;
            AddExpired(header, now);
        }

        await SendLiveAsync(rest[..live], cancellationToken).ConfigureAwait(false);
    }

    private void AddExpired(in RecordBatchHeader header, long now)
    {
        Gap? before = _expired;
        _expired = new Gap(
            before?.First ?? header.BaseOffset,
            header.LastOffset,
            (before?.Bytes ?? 0) + header.TotalLength,
            Math.Min(before?.MinTimestamp ?? long.MaxValue, header.BaseTimestamp),
            Math.Max(before?.MaxTimestamp ?? 0, header.MaxTimestamp),
            GapReason.Expired,
            now);
    }

    private async ValueTask SendLiveAsync(ReadOnlyMemory<byte> batches, CancellationToken cancellationToken)
    {
        if (batches.IsEmpty)
            return;

        await SendExpiredAsync(cancellationToken).ConfigureAwait(false);
        var message = new V1.DownBatches { Topic = topic, Incarnation = _incarnation, Batches = UnsafeByteOperations.UnsafeWrap(batches) };
        await send(new V1.DownHubMessage { Batches = message }, cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask SendExpiredAsync(CancellationToken cancellationToken)
    {
        if (_expired is not { } expired)
            return;

        _expired = null;
        await SendGapAsync(expired, cancellationToken).ConfigureAwait(false);
    }

    private ValueTask SendGapAsync(Gap gap, CancellationToken cancellationToken)
    {
        var message = new V1.DownGap { Incarnation = _incarnation, Gap = MirrorGaps.ToMessage(topic, gap) };
        return send(new V1.DownHubMessage { Gap = message }, cancellationToken);
    }

    private long Now() => time.GetUtcNow().ToUnixTimeMilliseconds();
}
