using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;

namespace EdgeStream.Cluster.Spu;

/// <summary>How far a log's copy is behind.</summary>
/// <param name="Records">Durable records that are not known to be at the hub; what is lost is not counted.</param>
/// <param name="Bytes">Of their batches, about.</param>
/// <param name="OldestTimestamp">Of the oldest of them, in ms since 1970; null where there is none or it cannot be told.</param>
public readonly record struct MirrorLag(long Records, long Bytes, long? OldestTimestamp)
{
    /// <summary>By the log's own mark; reads from the disk where there is a lag.</summary>
    public static MirrorLag Of(PartitionLog log) => Of(log, log.Offsets.Mirrored);

    /// <summary>By what one hub has, where there are several.</summary>
    public static MirrorLag Of(PartitionLog log, long mirrored)
    {
        // Files of this machine are read synchronously.
        Task<MirrorLag> lag = OfAsync(log, mirrored).AsTask();
        return lag.IsCompleted ? lag.GetAwaiter().GetResult() : throw new InvalidOperationException("a segment log answers at once");
    }

    /// <summary>By the log's own mark; reads where there is a lag.</summary>
    public static ValueTask<MirrorLag> OfAsync(IPartitionLog log, CancellationToken cancellationToken) =>
        OfAsync(log, log.Offsets.Mirrored, cancellationToken);

    private static async ValueTask<MirrorLag> OfAsync(IPartitionLog log, long mirrored, CancellationToken cancellationToken = default)
    {
        LogOffsets offsets = log.Offsets with { Mirrored = mirrored };
        if (offsets.Mirrored >= offsets.Durable)
            return default;

        try
        {
            using IPartitionReader reader = log.OpenReader(Math.Max(offsets.Mirrored, offsets.Start));
            using LogSlice slice = await reader.ReadAsync(RecordBatchHeader.Size, cancellationToken: cancellationToken).ConfigureAwait(false);
            if (slice.IsEmpty || !RecordBatchHeader.TryRead(slice.Batches.Span, out RecordBatchHeader header, out _))
                return default;

            long first = Math.Max(slice.BaseOffset, offsets.Mirrored);
            return new MirrorLag(
                offsets.Durable - first - log.LostRecordsFrom(first), log.BytesFrom(slice.BaseOffset),
                log.Clock.Correct(header.BaseOffset, header.BaseTimestamp).Timestamp);
        }
        catch (Exception error) when (error is IOException or EdgeStreamException)
        {
            // Dropped just now, or closed, or damaged; who reads it in earnest says so.
            return new MirrorLag(offsets.Durable - offsets.Mirrored, 0, null);
        }
    }

    /// <summary>How old the oldest record is that is not mirrored; null where there is none. Never negative.</summary>
    public TimeSpan? AgeAt(DateTimeOffset now) => OldestTimestamp is { } oldest
        ? TimeSpan.FromMilliseconds(Math.Max(0, now.ToUnixTimeMilliseconds() - oldest))
        : null;
}
