using System.Buffers.Binary;
using System.Runtime.InteropServices;
using EdgeStream.Storage.Files;

namespace EdgeStream.Storage.Segments;

/// <summary>A batch's place: the offset of its first record, and where in the log file it starts.</summary>
public readonly record struct OffsetEntry(uint RelativeOffset, uint Position);

/// <summary>The largest timestamp (ms since 1970) up to and with the batch at a relative offset.</summary>
public readonly record struct TimeEntry(long MaxTimestamp, uint RelativeOffset);

/// <summary>
/// The two sparse indexes of one segment. The active segment's are kept in memory only (an entry for each
/// <c>IndexIntervalBytes</c> of log: some 40 KiB at most) because recovery reads that segment through anyhow; they are written
/// once, when the segment is sealed. A sealed segment's are searched where they lie, without being loaded.
/// </summary>
/// <remarks>
/// They are hints: a lost or wrong index makes a lookup slower, never wrong, because what it points at is checked. So they
/// are not synced. Entries are big-endian: <c>.index</c> relative offset u32, position u32; <c>.timeindex</c> timestamp i64,
/// relative offset u32. Filled by the log's writer; lookups are safe from any thread.
/// </remarks>
internal sealed class SegmentIndex(int intervalBytes)
{
    private const int OffsetEntrySize = 8;
    private const int TimeEntrySize = 12;

    private readonly Lock _lock = new();
    private readonly List<OffsetEntry> _offsets = [];
    private readonly List<TimeEntry> _times = [];
    private long _nextEntryAt;

    public long MaxTimestamp { get; private set; } = long.MinValue;

    /// <summary>Notes a batch that was written; every <c>intervalBytes</c> one of them gets an entry.</summary>
    public void Add(long relativeOffset, long position, long maxTimestamp)
    {
        lock (_lock)
        {
            MaxTimestamp = Math.Max(MaxTimestamp, maxTimestamp);
            if (position < _nextEntryAt)
                return;

            _nextEntryAt = position + intervalBytes;
            _offsets.Add(new OffsetEntry((uint)relativeOffset, (uint)position));
            if (_times.Count == 0 || _times[^1].MaxTimestamp < MaxTimestamp)
                _times.Add(new TimeEntry(MaxTimestamp, (uint)relativeOffset));
        }
    }

    /// <summary>The position of the last indexed batch at or before a relative offset.</summary>
    public long FindPosition(long relativeOffset)
    {
        lock (_lock)
        {
            ReadOnlySpan<OffsetEntry> entries = CollectionsMarshal.AsSpan(_offsets);
            int low = 0, high = entries.Length;
            while (low < high)
            {
                int middle = (low + high) / 2;
                if (entries[middle].RelativeOffset <= relativeOffset)
                    low = middle + 1;
                else
                    high = middle;
            }

            return low == 0 ? 0 : entries[low - 1].Position;
        }
    }

    /// <summary>Writes both index files of a segment that gets no more records.</summary>
    public void WriteFiles(IStorageFiles files, string directory, long baseOffset)
    {
        byte[] offsets = new byte[_offsets.Count * OffsetEntrySize];
        for (int i = 0; i < _offsets.Count; i++)
        {
            Span<byte> entry = offsets.AsSpan(i * OffsetEntrySize);
            BinaryPrimitives.WriteUInt32BigEndian(entry, _offsets[i].RelativeOffset);
            BinaryPrimitives.WriteUInt32BigEndian(entry[4..], _offsets[i].Position);
        }

        // The last entry is the segment's largest timestamp, so that a search by time can pass over the segment.
        if (_times.Count > 0 && _times[^1].MaxTimestamp < MaxTimestamp)
            _times.Add(new TimeEntry(MaxTimestamp, uint.MaxValue));

        byte[] times = new byte[_times.Count * TimeEntrySize];
        for (int i = 0; i < _times.Count; i++)
        {
            Span<byte> entry = times.AsSpan(i * TimeEntrySize);
            BinaryPrimitives.WriteInt64BigEndian(entry, _times[i].MaxTimestamp);
            BinaryPrimitives.WriteUInt32BigEndian(entry[8..], _times[i].RelativeOffset);
        }

        Write(files, Path.Combine(directory, SegmentFileName.OffsetIndex(baseOffset)), offsets);
        Write(files, Path.Combine(directory, SegmentFileName.TimeIndex(baseOffset)), times);
    }

    /// <summary>As <see cref="FindPosition(long)"/>, for a sealed segment; 0 (its start) where its index is missing or cut short.</summary>
    public static long FindPosition(IStorageFiles files, string directory, long baseOffset, long relativeOffset)
    {
        string path = Path.Combine(directory, SegmentFileName.OffsetIndex(baseOffset));
        if (!files.FileExists(path))
            return 0;

        using ILogFile file = files.OpenForReading(path);
        Span<byte> entry = stackalloc byte[OffsetEntrySize];
        long low = 0, high = file.Length / OffsetEntrySize, position = 0;
        while (low < high)
        {
            long middle = (low + high) / 2;
            if (file.Read(entry, middle * OffsetEntrySize) != OffsetEntrySize)
                return 0;

            if (BinaryPrimitives.ReadUInt32BigEndian(entry) <= relativeOffset)
            {
                position = BinaryPrimitives.ReadUInt32BigEndian(entry[4..]);
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return position;
    }

    /// <summary>The largest timestamp of a sealed segment, or null where its time index is missing.</summary>
    public static long? ReadMaxTimestamp(IStorageFiles files, string directory, long baseOffset)
    {
        string path = Path.Combine(directory, SegmentFileName.TimeIndex(baseOffset));
        if (!files.FileExists(path))
            return null;

        using ILogFile file = files.OpenForReading(path);
        long count = file.Length / TimeEntrySize;
        Span<byte> entry = stackalloc byte[TimeEntrySize];
        return count > 0 && file.Read(entry, (count - 1) * TimeEntrySize) == TimeEntrySize
            ? BinaryPrimitives.ReadInt64BigEndian(entry)
            : null;
    }

    /// <summary>
    /// The relative offset of a batch in a sealed segment before which every record is older than
    /// <paramref name="timestamp"/>; 0 where the index cannot tell.
    /// </summary>
    public static long FindByTime(IStorageFiles files, string directory, long baseOffset, long timestamp)
    {
        string path = Path.Combine(directory, SegmentFileName.TimeIndex(baseOffset));
        if (!files.FileExists(path))
            return 0;

        using ILogFile file = files.OpenForReading(path);
        Span<byte> entry = stackalloc byte[TimeEntrySize];
        long low = 0, high = file.Length / TimeEntrySize, found = 0;
        while (low < high)
        {
            long middle = (low + high) / 2;
            if (file.Read(entry, middle * TimeEntrySize) != TimeEntrySize)
                return 0;

            if (BinaryPrimitives.ReadInt64BigEndian(entry) < timestamp)
            {
                uint relative = BinaryPrimitives.ReadUInt32BigEndian(entry[8..]);
                found = relative == uint.MaxValue ? found : relative;
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return found;
    }

    /// <summary>As <see cref="FindByTime(IStorageFiles, string, long, long)"/>, for the active segment.</summary>
    public long FindByTime(long timestamp)
    {
        lock (_lock)
        {
            long found = 0;
            foreach (TimeEntry entry in _times)
            {
                if (entry.MaxTimestamp >= timestamp)
                    break;

                found = entry.RelativeOffset;
            }

            return found;
        }
    }

    private static void Write(IStorageFiles files, string path, byte[] contents)
    {
        files.Delete(path);
        using ILogFile file = files.Create(path);
        file.Write([contents], 0);
    }
}
