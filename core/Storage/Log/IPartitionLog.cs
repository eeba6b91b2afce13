using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Time;

namespace EdgeStream.Storage.Log;

/// <summary>
/// One partition as the cluster uses it, wherever its records lie: one writer that gives offsets once and densely, any number of
/// readers that see what is durable and nothing else. Safe from any thread. <see cref="PartitionLog"/> keeps it in segment files of
/// this machine.
/// </summary>
/// <remarks>Whoever implements it passes the contract tests, <c>PartitionLogContract</c> in <c>tests/Cluster.Tests/Engines</c>.</remarks>
public interface IPartitionLog : IAsyncDisposable
{
    /// <summary>Its identity, and what is kept with the data.</summary>
    PartitionManifest Manifest { get; }

    LogSettings Settings { get; }

    /// <summary>What is known of the clocks that stamped the records. <see cref="LogClock.Note"/> is the log's own to call.</summary>
    LogClock Clock { get; }

    LogOffsets Offsets { get; }

    /// <summary>Offset of the first record held.</summary>
    long StartOffset { get; }

    /// <summary>The error that stopped the log, or null while it runs.</summary>
    Exception? Failure { get; }

    /// <summary>What a person should know of it, in one line; null while it is well.</summary>
    string? Problem { get; }

    /// <summary>How long the disk of this machine has not answered; zero where nothing waits for it.</summary>
    TimeSpan BusyFor { get; }

    /// <summary>Bytes of the batches that were appended since the log was opened.</summary>
    long AppendedBytes { get; }

    /// <summary>What is known to be lost, ascending by offset; a snapshot.</summary>
    IReadOnlyList<Gap> Gaps { get; }

    /// <summary>The gap that an offset lies in.</summary>
    Gap? FindGap(long offset);

    /// <summary>What it takes where it is stored, in bytes; of a replicated log, at one of its places.</summary>
    long SizeInBytes();

    /// <summary>About how many bytes of batches the log holds from an offset on.</summary>
    /// <exception cref="OffsetOutOfRangeException">The log does not hold the offset.</exception>
    long BytesFrom(long offset);

    /// <summary>How many records are known to be lost from an offset on.</summary>
    long LostRecordsFrom(long offset);

    /// <inheritdoc cref="PartitionLog.EnqueueAsync"/>
    ValueTask<Task<AppendedRange>> EnqueueAsync(ReadOnlyMemory<byte> batches, AckLevel ack, CancellationToken cancellationToken = default);

    /// <inheritdoc cref="PartitionLog.EnqueueVerbatimAsync"/>
    ValueTask<Task<AppendedRange>> EnqueueVerbatimAsync(ReadOnlyMemory<byte> batches, AckLevel ack, CancellationToken cancellationToken = default);

    /// <inheritdoc cref="PartitionLog.EnqueueGapAsync"/>
    ValueTask<Task<AppendedRange>> EnqueueGapAsync(Gap gap, CancellationToken cancellationToken = default);

    /// <summary>Completes once every record below <paramref name="offset"/> is durable.</summary>
    ValueTask WaitForDurableAsync(long offset, CancellationToken cancellationToken);

    /// <summary>A reader that starts at <paramref name="offset"/>; the caller disposes it.</summary>
    /// <exception cref="OffsetOutOfRangeException">The log does not hold the offset, and it is not the next one.</exception>
    IPartitionReader OpenReader(long offset);

    /// <inheritdoc cref="PartitionLog.FindOffsetByTime"/>
    ValueTask<long> FindOffsetByTimeAsync(long timestamp, CancellationToken cancellationToken);

    /// <summary>Takes note of how far the copy of this log is. What lies beyond this log's own durable end is not believed.</summary>
    void SetMirrored(long offset);

    /// <summary>Takes over what the topic says now; it counts from the next batch on.</summary>
    ValueTask ChangeSettingsAsync(LogSettings settings);

    /// <summary>Keeps settings with the data, in the manifest; durable on return; null removes one. For one caller at a time.</summary>
    ValueTask SaveSettingsAsync(IReadOnlyDictionary<string, string?> changes);

    /// <summary>Where the log is stored, the leader first; empty where that is at this node only, or nobody who knows it answers.</summary>
    ValueTask<IReadOnlyList<ReplicaState>> FindReplicasAsync(CancellationToken cancellationToken);
}

/// <summary>Reads a partition onward from an offset, up to what is durable. For one caller at a time; a slow one costs the log nothing.</summary>
public interface IPartitionReader : IDisposable
{
    /// <summary>The offset that the next read starts with.</summary>
    long NextOffset { get; }

    /// <summary>
    /// Reads whole batches, beginning with the one that holds <see cref="NextOffset"/>; empty at the durable end. What was lost is
    /// passed over: <see cref="NextOffset"/> then moves on to the end of the gap.
    /// </summary>
    /// <param name="maxBytes">How much to read at most, in bytes, about; one batch is read even if it is larger.</param>
    /// <param name="endOffset">Where to stop: no batch at or after it is read.</param>
    /// <param name="cancellationToken">Where the log is elsewhere: ends the wait for it.</param>
    /// <exception cref="OffsetOutOfRangeException">Retention has dropped the offset meanwhile.</exception>
    /// <exception cref="PartitionDamagedException">What was durable cannot be read.</exception>
    ValueTask<LogSlice> ReadAsync(int maxBytes, long endOffset = long.MaxValue, CancellationToken cancellationToken = default);

    /// <summary>Completes once there is something to read.</summary>
    ValueTask WaitAsync(CancellationToken cancellationToken);
}

public static class PartitionLogExtensions
{
    /// <summary>Appends batches at the end of the log, which gives them their offsets, and waits for the acknowledgement.</summary>
    /// <inheritdoc cref="PartitionLog.EnqueueAsync"/>
    public static async ValueTask<AppendedRange> AppendAsync(
        this IPartitionLog log, ReadOnlyMemory<byte> batches, AckLevel ack, CancellationToken cancellationToken = default)
    {
        Task<AppendedRange> acknowledged = await log.EnqueueAsync(batches, ack, cancellationToken).ConfigureAwait(false);
        return await acknowledged.ConfigureAwait(false);
    }
}
