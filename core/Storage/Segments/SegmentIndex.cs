using System.Buffers.Binary;
using System.Runtime.InteropServices;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Records;

namespace EdgeStream.Storage.Segments;

/// <summary>A batch's place: the offset of its first record, and where in the log file it starts.</summary>
public readonly record struct OffsetEntry(uint RelativeOffset, uint Position);

/// <summary>The largest timestamp (ms since 1970) up to and with the batch at a relative offset.</summary>
public readonly record struct TimeEntry(long MaxTimestamp, uint RelativeOffset);

/// <summary>
/// The two sparse indexes of one segment. The active segment's are kept in memory only (an entry for each
/// <c>IndexIntervalBytes</c> of log: some 40 KiB at most) because recovery reads that segment through anyhow; they are written
/// once, when the segment is sealed.
/// </summary>
/// <remarks>
/// They are hints: a lost or damaged index makes a lookup slower, never wrong. So they are not synced. A file is base offset
/// i64, age stamp i64 (when the segment was sealed, by the node's age clock), entries, CRC-32C u32 of all before it, big-endian. An entry in <c>.index</c> is relative offset u32, position u32; in
/// <c>.timeindex</c> timestamp i64, relative offset u32. Filled by the log's writer; lookups are safe from any thread.
/// </remarks>
internal sealed class SegmentIndex(int intervalBytes)
{
    private const int OffsetEntrySize = 8;
    private const int TimeEntrySize = 12;
    private const int AgePosition = sizeof(long);
    private const int HeaderSize = 2 * sizeof(long);
    private const int CrcSize = sizeof(uint);
    private const int OverheadSize = HeaderSize + CrcSize;

    // Enough for a segment of 2 GiB in steps of 4 KiB; without an index of more it is read from its start.
    private const int MaxFileSize = 8 * 1024 * 1024;

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
            if (position < _nextEntryAt || relativeOffset >= uint.MaxValue)
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

    /// <summary>Writes both index files of a segment that gets no more records. Where that fails it has none.</summary>
    /// <returns>Bytes of the two files.</returns>
    public int WriteFiles(IStorageFiles files, string directory, long baseOffset, long age)
    {
        lock (_lock)
        {
            byte[] offsets = new byte[OverheadSize + (_offsets.Count * OffsetEntrySize)];
            for (int i = 0; i < _offsets.Count; i++)
            {
                Span<byte> entry = offsets.AsSpan(HeaderSize + (i * OffsetEntrySize));
                BinaryPrimitives.WriteUInt32BigEndian(entry, _offsets[i].RelativeOffset);
                BinaryPrimitives.WriteUInt32BigEndian(entry[4..], _offsets[i].Position);
            }

            // The last entry is the segment's largest timestamp, so that a search by time can pass over the segment.
            List<TimeEntry> timeEntries = [.. _times];
            if (timeEntries.Count > 0 && timeEntries[^1].MaxTimestamp < MaxTimestamp)
                timeEntries.Add(new TimeEntry(MaxTimestamp, uint.MaxValue));

            byte[] times = new byte[OverheadSize + (timeEntries.Count * TimeEntrySize)];
            for (int i = 0; i < timeEntries.Count; i++)
            {
                Span<byte> entry = times.AsSpan(HeaderSize + (i * TimeEntrySize));
                BinaryPrimitives.WriteInt64BigEndian(entry, timeEntries[i].MaxTimestamp);
                BinaryPrimitives.WriteUInt32BigEndian(entry[8..], timeEntries[i].RelativeOffset);
            }

            Write(files, Path.Combine(directory, SegmentFileName.OffsetIndex(baseOffset)), baseOffset, age, offsets);
            Write(files, Path.Combine(directory, SegmentFileName.TimeIndex(baseOffset)), baseOffset, age, times);
            return offsets.Length + times.Length;
        }
    }

    /// <summary>As <see cref="FindPosition(long)"/>, for a sealed segment; 0 (its start) where it has no good index.</summary>
    public static long FindPosition(IStorageFiles files, string directory, long baseOffset, long relativeOffset)
    {
        if (relativeOffset == 0)
            return 0;

        string path = Path.Combine(directory, SegmentFileName.OffsetIndex(baseOffset));
        ReadOnlySpan<byte> entries = TryRead(files, path, baseOffset).Span;
        long position = 0;
        for (int low = 0, high = entries.Length / OffsetEntrySize; low < high;)
        {
            int middle = (low + high) / 2;
            ReadOnlySpan<byte> entry = entries[(middle * OffsetEntrySize)..];
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

    /// <summary>
    /// The largest timestamp of a sealed segment, null where it has no good index; and the relative offset of a batch before
    /// which every record is older than <paramref name="timestamp"/>, 0 where the index cannot tell.
    /// </summary>
    public static (long? Maximum, long RelativeOffset) FindByTime(IStorageFiles files, string directory, long baseOffset, long timestamp)
    {
        string path = Path.Combine(directory, SegmentFileName.TimeIndex(baseOffset));
        ReadOnlySpan<byte> entries = TryRead(files, path, baseOffset).Span;
        long? maximum = null;
        long found = 0;
        for (; !entries.IsEmpty; entries = entries[TimeEntrySize..])
        {
            maximum = BinaryPrimitives.ReadInt64BigEndian(entries);
            uint relative = BinaryPrimitives.ReadUInt32BigEndian(entries[8..]);
            if (maximum < timestamp && relative != uint.MaxValue)
                found = relative;
        }

        return (maximum, found);
    }

    /// <summary>As <see cref="FindByTime(IStorageFiles, string, long, long)"/>, for the active segment.</summary>
    public (long? Maximum, long RelativeOffset) FindByTime(long timestamp)
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

            return (MaxTimestamp, found);
        }
    }

    /// <summary>Takes over the entries of a segment's files, as far as they are good; false where one of them is not.</summary>
    public bool TryLoad(IStorageFiles files, string directory, long baseOffset)
    {
        byte[]? offsets = TryReadFile(files, Path.Combine(directory, SegmentFileName.OffsetIndex(baseOffset)), baseOffset);
        byte[]? times = TryReadFile(files, Path.Combine(directory, SegmentFileName.TimeIndex(baseOffset)), baseOffset);
        if (offsets is null || times is null)
            return false;

        lock (_lock)
        {
            for (ReadOnlySpan<byte> entry = offsets.AsSpan(HeaderSize..^CrcSize); !entry.IsEmpty; entry = entry[OffsetEntrySize..])
                _offsets.Add(new OffsetEntry(BinaryPrimitives.ReadUInt32BigEndian(entry), BinaryPrimitives.ReadUInt32BigEndian(entry[4..])));

            for (ReadOnlySpan<byte> entry = times.AsSpan(HeaderSize..^CrcSize); !entry.IsEmpty; entry = entry[TimeEntrySize..])
            {
                MaxTimestamp = BinaryPrimitives.ReadInt64BigEndian(entry);
                uint relativeOffset = BinaryPrimitives.ReadUInt32BigEndian(entry[8..]);
                if (relativeOffset != uint.MaxValue)
                    _times.Add(new TimeEntry(MaxTimestamp, relativeOffset));
            }

            _nextEntryAt = _offsets.Count > 0 ? _offsets[^1].Position + intervalBytes : 0;
            return true;
        }
    }

    /// <summary>When a sealed segment was sealed, by the node's age clock; null where it has no good index.</summary>
    public static long? ReadAge(IStorageFiles files, string directory, long baseOffset)
    {
        byte[]? contents = TryReadFile(files, Path.Combine(directory, SegmentFileName.TimeIndex(baseOffset)), baseOffset);
        return contents is null ? null : BinaryPrimitives.ReadInt64BigEndian(contents.AsSpan(AgePosition));
    }

    private static void Write(IStorageFiles files, string path, long baseOffset, long age, byte[] contents)
    {
        BinaryPrimitives.WriteInt64BigEndian(contents, baseOffset);
        BinaryPrimitives.WriteInt64BigEndian(contents.AsSpan(AgePosition), age);
        BinaryPrimitives.WriteUInt32BigEndian(contents.AsSpan(^CrcSize..), Crc32C.Compute(contents.AsSpan(..^CrcSize)));
        try
        {
            files.Delete(path);
            using ILogFile file = files.Create(path);
            file.Write([contents], 0);
        }
        catch (IOException)
        {
            // The disk may be full. A part of an index is no worse than none.
        }
    }

    /// <summary>The entries of an index file; none where it is missing, damaged, or that of another segment.</summary>
    private static ReadOnlyMemory<byte> TryRead(IStorageFiles files, string path, long baseOffset) =>
        TryReadFile(files, path, baseOffset) is { } contents ? contents.AsMemory(HeaderSize..^CrcSize) : default;

    private static byte[]? TryReadFile(IStorageFiles files, string path, long baseOffset)
    {
        byte[]? contents;
        try
        {
            contents = SmallFile.TryRead(files, path, MaxFileSize);
        }
        catch (IOException)
        {
            return null;
        }

        bool good = contents?.Length >= OverheadSize
            && BinaryPrimitives.ReadInt64BigEndian(contents) == baseOffset
            && BinaryPrimitives.ReadUInt32BigEndian(contents.AsSpan(^CrcSize..)) == Crc32C.Compute(contents.AsSpan(..^CrcSize));
        return good ? contents : null;
    }
}
