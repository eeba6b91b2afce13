using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;

namespace EdgeStream.Mirror.Live;

/// <summary>Follows a log from an offset on, and keeps the latest record of each key. For one caller at a time.</summary>
internal sealed class LogTail(IPartitionLog log, LatestByKey latest, long from)
{
    private const int ReadBytes = 256 * 1024;
    private const long MaxBacklogBytes = 8 * 1024 * 1024;

    private long _next = from;

    public IPartitionLog Log => log;

    /// <summary>
    /// Where to begin so that what lies behind <paramref name="mark"/> is read, or the last 8 MiB of it: what was written before
    /// that, and not since, is hardly what anybody calls live.
    /// </summary>
    /// <exception cref="EdgeStreamException">The log cannot be read.</exception>
    public static long StartBehind(IPartitionLog log, long mark)
    {
        long low = Math.Max(mark, log.StartOffset), high = log.Offsets.Durable;
        while (low < high && log.BytesFrom(low) > MaxBacklogBytes)
            low += Math.Max(1, (high - low) / 2);

        return low;
    }

    /// <summary>Reads what has become durable meanwhile.</summary>
    /// <exception cref="IOException">The log cannot be read.</exception>
    public async ValueTask CatchUpAsync(CancellationToken cancellationToken)
    {
        if (_next >= log.Offsets.Durable)
            return;

        // What retention has dropped was not the latest.
        using IPartitionReader reader = log.OpenReader(Math.Max(_next, log.StartOffset));
        while (true)
        {
            using LogSlice slice = await reader.ReadAsync(ReadBytes, cancellationToken: cancellationToken).ConfigureAwait(false);
            _next = reader.NextOffset;
            if (slice.IsEmpty)
                return;

            foreach ((_, ReadOnlyMemory<byte> batch) in RecordBatches.Split(slice.Batches))
                Take(batch);
        }
    }

    private void Take(ReadOnlyMemory<byte> batch)
    {
        try
        {
            using RecordBatchReader records = RecordBatchReader.Open(batch);
            while (records.TryRead(out Record record))
                latest.Take(record);
        }
        catch (CorruptBatchException)
        {
            // What cannot be read has no latest value; the ordered lane deals with it.
        }
    }
}
