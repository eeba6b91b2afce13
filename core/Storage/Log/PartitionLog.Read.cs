using EdgeStream.Storage.Files;
using EdgeStream.Storage.Segments;

namespace EdgeStream.Storage.Log;

/// <content>Lookups for readers.</content>
public sealed partial class PartitionLog
{
    /// <summary>A reader that starts at <paramref name="offset"/>; the caller disposes it.</summary>
    /// <exception cref="OffsetOutOfRangeException">The log does not hold the offset, and it is not the next one.</exception>
    public LogReader OpenReader(long offset)
    {
        LogOffsets offsets = Offsets;
        if (offset < offsets.Start || offset > offsets.End)
            throw new OffsetOutOfRangeException(offset, offsets.Start, offsets.End);

        return new LogReader(this, offset);
    }

    /// <summary>
    /// The offset of the first durable record stamped at or after <paramref name="timestamp"/> (ms since 1970); the durable
    /// end where there is none. Records are stamped by their producers, so later ones may be older.
    /// </summary>
    public long FindOffsetByTime(long timestamp)
    {
        long durable = _durable.Value;
        foreach (long baseOffset in Volatile.Read(ref _segments).Select(segment => segment.BaseOffset))
        {
            (long? maximum, long relative) = FindInSegment(baseOffset, timestamp);
            if (maximum < timestamp)
                continue;

            if (baseOffset + relative >= durable)
                break;

            using LogReader reader = OpenReader(baseOffset + relative);
            return reader.SkipToTime(timestamp);
        }

        return durable;
    }

    private (long? Maximum, long RelativeOffset) FindInSegment(long baseOffset, long timestamp)
    {
        lock (_segmentsLock)
        {
            if (UnsyncedSegment(baseOffset) is { } segment)
                return segment.Index.FindByTime(timestamp);
        }

        return SegmentIndex.FindByTime(_files, Directory, baseOffset, timestamp);
    }

    /// <summary>About how many bytes of batches the log holds from an offset on: as exact as an index entry, some KiB.</summary>
    /// <exception cref="OffsetOutOfRangeException">The log does not hold the offset.</exception>
    public long BytesFrom(long offset)
    {
        (long baseOffset, _) = FindSegment(offset);
        long bytes = -FindPosition(baseOffset, offset);
        lock (_segmentsLock)
        {
            // The active one's file is longer than what was written to it.
            foreach (SegmentInfo segment in _segments.Where(segment => segment.BaseOffset >= baseOffset))
                bytes += segment.BaseOffset == _active.BaseOffset ? _active.Position : segment.Bytes;
        }

        return Math.Max(0, bytes);
    }

    /// <summary>How many records are known to be lost from an offset on.</summary>
    ValueTask<IReadOnlyList<ReplicaState>> IPartitionLog.FindReplicasAsync(CancellationToken cancellationToken) => new([]);

    public long LostRecordsFrom(long offset) =>
        _ledger.Gaps.Where(gap => gap.Last >= offset).Sum(gap => gap.Last - Math.Max(gap.First, offset) + 1);

    /// <summary>The segment that holds an offset, and the offset at which the next segment starts.</summary>
    internal (long BaseOffset, long NextBaseOffset) FindSegment(long offset)
    {
        SegmentInfo[] segments = Volatile.Read(ref _segments);
        int low = 0, high = segments.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (segments[middle].BaseOffset <= offset)
                low = middle + 1;
            else
                high = middle;
        }

        if (low == 0)
            throw new OffsetOutOfRangeException(offset, segments[0].BaseOffset, _end.Value);

        return (segments[low - 1].BaseOffset, low < segments.Length ? segments[low].BaseOffset : long.MaxValue);
    }

    /// <summary>Where in its segment's file to start looking for an offset.</summary>
    internal long FindPosition(long baseOffset, long offset)
    {
        lock (_segmentsLock)
        {
            if (UnsyncedSegment(baseOffset) is { } segment)
                return segment.Index.FindPosition(offset - baseOffset);
        }

        return SegmentIndex.FindPosition(_files, Directory, baseOffset, offset - baseOffset);
    }

    internal ILogFile OpenSegment(long baseOffset) => _files.OpenForReading(LogPath(baseOffset));

    internal long DurableOffset => _durable.Value;

    internal void ThrowIfClosed()
    {
        if (Volatile.Read(ref _disposed) != 0)
            throw new LogClosedException(Directory);
    }

    private WritableSegment? UnsyncedSegment(long baseOffset) =>
        _active.BaseOffset == baseOffset ? _active : _sealed.Find(segment => segment.BaseOffset == baseOffset);
}
