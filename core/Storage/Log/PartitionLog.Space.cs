using EdgeStream.Storage.Files;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Retention;
using EdgeStream.Storage.Segments;

namespace EdgeStream.Storage.Log;

/// <content>Room for the next segment: from the disk, from the budget, or from the log's own oldest segment.</content>
public sealed partial class PartitionLog
{
    // Smaller ones would cost more in names and syncs than they hold.
    private const int MinSegmentBytes = 64 * 1024;

    // A topic with a bound keeps at least so many segments, so that what one drop takes is a small part of it.
    private const int SegmentsPerBound = 8;

    // One thread at a time drops, repairs, or adds a segment to the disk. Taken before _segmentsLock, never the other way round.
    private readonly Lock _spaceLock = new();

    // When the active segment got its first record, by the age clock. The writer's, read by the cleaner.
    private long _activeSince;

    /// <summary>Bytes of the log's files: segments as the file system has them, what is allocated beforehand included; indexes; ledger; quarantine.</summary>
    public long SizeInBytes() => RetainedBytes() + _ledger.SizeInBytes + _quarantine.SizeInBytes;

    /// <summary>What counts towards the topic's own bound.</summary>
    private long RetainedBytes()
    {
        long size = 0;
        foreach (SegmentInfo segment in Volatile.Read(ref _segments))
            size += segment.Bytes + segment.IndexBytes;

        return size;
    }

    /// <summary>How large a segment becomes before the next one starts, in bytes.</summary>
    private long SegmentBytes => _settings.RetentionBytes is { } bound
        ? Math.Min(_options.SegmentBytes, Math.Max(MinSegmentBytes, bound / SegmentsPerBound))
        : _options.SegmentBytes;

    /// <summary>Drops the oldest segment, where it may go.</summary>
    /// <param name="reason">Why, for the gap that it leaves where the hub does not have all of it.</param>
    /// <param name="evenUnmirrored">Whether it may go before the hub has it.</param>
    /// <returns>Bytes that were freed; 0 where it may not go.</returns>
    /// <exception cref="IOException">The gap could not be noted; nothing was dropped.</exception>
    internal long TryDropOldest(GapReason reason, bool evenUnmirrored)
    {
        lock (_spaceLock)
        {
            // The cleaner may come late: the directory can be another log's by now.
            if (Volatile.Read(ref _disposed) != 0 || !CanDropOldest(evenUnmirrored))
                return 0;

            SegmentInfo dropped = TakeOldest(reason);
            _files.Delete(LogPath(dropped.BaseOffset));
            _resources.Budget.Return(dropped.Bytes);
            return dropped.Bytes + dropped.IndexBytes;
        }
    }

    /// <summary>Whether the oldest segment is synced, no longer written, and the hub has it or need not.</summary>
    internal bool CanDropOldest(bool evenUnmirrored)
    {
        lock (_segmentsLock)
        {
            return _segments.Length > 1
                && UnsyncedSegment(_segments[0].BaseOffset) is null
                && (evenUnmirrored || (_settings.IsMirrored && _mirrored.Value >= _segments[1].BaseOffset));
        }
    }

    /// <summary>Drops what is older than the topic keeps, and seals a segment that has been open for long.</summary>
    internal void ExpireByAge()
    {
        if (_settings.RetentionAge is not { } keep || _failure is not null)
            return;

        long now = _resources.AgeClock();
        bool evenUnmirrored = !_settings.IsMirrored || _settings.Overflow == OverflowPolicy.DropOldest;
        while (CanDropOldest(evenUnmirrored) && AgeOfOldest(now) > keep.TotalMilliseconds)
            TryDropOldest(GapReason.Retention, evenUnmirrored);

        // Only whole segments go. One that never fills would keep its first records for ever.
        if (_end.Value > _active.BaseOffset && now - Volatile.Read(ref _activeSince) > keep.TotalMilliseconds / SegmentsPerBound)
            _ = TryQueueRoll();
    }

    private double AgeOfOldest(long now)
    {
        long baseOffset = StartOffset;
        if (SegmentIndex.ReadAge(_files, Directory, baseOffset) is not { } stamp)
        {
            // Its index is lost: counted from now on.
            if (_ageUnknown.BaseOffset != baseOffset)
                _ageUnknown = (baseOffset, now);

            stamp = _ageUnknown.Since;
        }

        return Math.Max(0, now - stamp);
    }

    // The oldest segment where nobody knows how old it is, and since when it is known to be there. The cleaner's.
    private (long BaseOffset, long Since) _ageUnknown = (-1, 0);

    /// <summary>The file for a new segment, with disk space for at least <paramref name="needed"/> bytes. Called by the writer.</summary>
    /// <exception cref="StorageFullException">There is no room for it.</exception>
    private WritableSegment StartSegment(long baseOffset, int needed)
    {
        long bytes = Math.Max(needed, Math.Min(SegmentBytes, _options.PreallocateBytes));
        WritableSegment? recycled = MakeRoomInTopic(baseOffset, bytes);
        if (recycled is not null)
            return Grown(recycled, needed);

        bool dropsOldest = _settings.Overflow == OverflowPolicy.DropOldest;
        if (!_resources.Budget.TryTake(bytes))
        {
            recycled = TryRecycle(baseOffset, GapReason.Overflow, dropsOldest)
                ?? throw StorageFullException.OfBudget(LogPath(baseOffset), _resources.Budget.Limit);
            return Grown(recycled, needed);
        }

        try
        {
            lock (_spaceLock)
                return CreateSegment(_files, Directory, baseOffset, bytes, _options);
        }
        catch (IOException error) when (DiskErrors.IsFull(error))
        {
            _resources.Budget.Return(bytes);

            // Other programs fill the disk. What this log has of it, it keeps: the oldest segment becomes the newest.
            recycled = TryRecycle(baseOffset, GapReason.Overflow, dropsOldest)
                ?? throw StorageFullException.OfDisk(LogPath(baseOffset), error);
            return Grown(recycled, needed);
        }
        catch
        {
            _resources.Budget.Return(bytes);
            throw;
        }
    }

    /// <summary>Keeps the topic within its own bound. The result is the file of a segment that went, or null where none had to.</summary>
    private WritableSegment? MakeRoomInTopic(long baseOffset, long bytes)
    {
        if (_settings.RetentionBytes is not { } bound)
            return null;

        bool evenUnmirrored = _settings.Overflow == OverflowPolicy.DropOldest;
        WritableSegment? recycled = null;
        while (RetainedBytes() + (recycled is null ? bytes : recycled.Capacity) > bound)
        {
            bool more = recycled is null
                ? (recycled = TryRecycle(baseOffset, GapReason.Retention, evenUnmirrored)) is not null
                : TryDropOldest(GapReason.Retention, evenUnmirrored) > 0;
            if (!more && recycled is null)
                throw StorageFullException.OfTopic(LogPath(baseOffset), bound);

            if (!more)
                break;
        }

        return recycled;
    }

    /// <summary>Turns the oldest segment's file into the next segment's; null where it may not go.</summary>
    private WritableSegment? TryRecycle(long baseOffset, GapReason reason, bool evenUnmirrored)
    {
        lock (_spaceLock)
        {
            if (!CanDropOldest(evenUnmirrored))
                return null;

            SegmentInfo oldest = TakeOldest(reason);
            string path = LogPath(baseOffset);
            _files.Rename(LogPath(oldest.BaseOffset), path);

            // Before the first write: else a power cut could bring back the old name with new bytes.
            SyncNewName(path);
            return new WritableSegment(baseOffset, _files.OpenForWriting(path), oldest.Bytes, new SegmentIndex(_options.IndexIntervalBytes));
        }
    }

    /// <summary>
    /// Takes the oldest segment out of the log. Order: gap durable, or checkpoint durable where nothing is lost → out of the
    /// list → index files away. What becomes of the log file is the caller's, under <see cref="_spaceLock"/> like this.
    /// </summary>
    private SegmentInfo TakeOldest(GapReason reason)
    {
        SegmentInfo oldest = _segments[0];
        long next = _segments[1].BaseOffset;
        long lost = Math.Max(oldest.BaseOffset, _mirrored.Value);
        if (_settings.IsMirrored ? lost < next : reason != GapReason.Retention)
            NoteGap(lost, next - 1, reason, oldest.Bytes - FindPosition(oldest.BaseOffset, lost), TimeRange(oldest));

        _mirrored.Advance(next);
        lock (_segmentsLock)
            Volatile.Write(ref _segments, _segments[1..]);

        if (_ledger.Uncovered(oldest.BaseOffset, next - 1).Count > 0)
            WriteCheckpoint(sync: true);

        DeleteIndex(oldest.BaseOffset);
        Clock.Forget(next);
        _resources.Budget.Return(oldest.IndexBytes);
        return oldest;
    }

    /// <exception cref="IOException">Which of its two names the file has is unknown, so this is no full disk that heals.</exception>
    private void SyncNewName(string path)
    {
        try
        {
            _files.SyncDirectory(Directory);
        }
        catch (IOException error)
        {
            throw new IOException($"'{path}' was renamed, and that could not be synced: {error.Message}", error);
        }
    }

    private void NoteGap(long first, long last, GapReason reason, long bytes, (long Min, long Max) times) => NoteGap(
        new Gap(first, last, bytes, times.Min, times.Max, reason, _resources.Time.GetUtcNow().ToUnixTimeMilliseconds()));

    private void NoteGap(Gap gap) => NoteGaps([gap]);

    /// <summary>Durable on return. Called under <see cref="_spaceLock"/>.</summary>
    private void NoteGaps(IReadOnlyList<Gap> gaps)
    {
        long before = _ledger.SizeInBytes;
        _ledger.Add(gaps);
        _resources.Budget.Add(_ledger.SizeInBytes - before);
    }

    private (long Min, long Max) TimeRange(SegmentInfo segment)
    {
        (long? max, _) = SegmentIndex.FindByTime(_files, Directory, segment.BaseOffset, long.MaxValue);
        try
        {
            using ILogFile file = OpenSegment(segment.BaseOffset);
            byte[] start = new byte[Records.RecordBatchHeader.Size];
            int filled = file.Read(start, 0);
            return Records.RecordBatchHeader.TryRead(start.AsSpan(0, filled), out Records.RecordBatchHeader header, out _)
                ? (header.BaseTimestamp, max ?? header.MaxTimestamp)
                : (-1, max ?? -1);
        }
        catch (IOException)
        {
            return (-1, max ?? -1);
        }
    }

    private void DeleteIndex(long baseOffset)
    {
        foreach (string name in (ReadOnlySpan<string>)[SegmentFileName.OffsetIndex(baseOffset), SegmentFileName.TimeIndex(baseOffset)])
            _files.Delete(Path.Combine(Directory, name));
    }

    /// <summary>Allocates up to a segment's size where the file is shorter than that; the room it has is enough where the disk is full.</summary>
    private WritableSegment Grown(WritableSegment segment, int needed)
    {
        if (TryGrow(segment, Math.Max(needed, Math.Min(SegmentBytes, _options.PreallocateBytes))) || segment.Capacity >= needed)
            return segment;

        segment.Dispose();
        _files.Delete(LogPath(segment.BaseOffset));

        // A smaller batch may go on in the segment before: back after a power cut, this one would pass for the end of its records.
        _files.SyncDirectory(Directory);
        _resources.Budget.Return(segment.Capacity);
        throw StorageFullException.OfBudget(LogPath(segment.BaseOffset), _resources.Budget.Limit);
    }

    /// <summary>Room for a batch that is larger than the active segment, which is empty. The result is the error where there is none.</summary>
    private StorageFullException? GrowEmpty(int needed)
    {
        while (!TryGrow(needed))
        {
            if (TryDropOldest(GapReason.Overflow, _settings.Overflow == OverflowPolicy.DropOldest) == 0)
                return StorageFullException.OfBudget(LogPath(_active.BaseOffset), _resources.Budget.Limit);
        }

        return null;
    }

    private bool TryGrow(long needed)
    {
        long wanted = Math.Max(needed, Math.Min(SegmentBytes, 2 * _active.Capacity));
        return TryGrow(_active, wanted) || (wanted > needed && TryGrow(_active, needed));
    }

    private bool TryGrow(WritableSegment segment, long capacity)
    {
        long more = capacity - segment.Capacity;
        if (more <= 0)
            return true;

        if (!_resources.Budget.TryTake(more))
            return false;

        try
        {
            segment.File.Allocate(capacity);
            segment.Capacity = capacity;
            ResizeSegment(segment.BaseOffset, capacity, isCounted: true);
            return true;
        }
        catch (IOException error) when (DiskErrors.IsFull(error))
        {
            _resources.Budget.Return(more);
            return false;
        }
    }

    /// <summary>What lies behind the end and was never acknowledged must not pass for records after a crash.</summary>
    private void WipeBehindEnd()
    {
        _active.File.Truncate(_active.Position);
        _active.Capacity = _active.Position;
        ResizeSegment(_active.BaseOffset, _active.Position);
    }

    private void WriteIndex(WritableSegment segment)
    {
        int bytes = segment.Index.WriteFiles(_files, Directory, segment.BaseOffset, _resources.AgeClock());
        ChangeSegment(segment.BaseOffset, info => info with { IndexBytes = bytes }, isCounted: false);
    }

    private void ResizeSegment(long baseOffset, long bytes, bool isCounted = false) =>
        ChangeSegment(baseOffset, info => info with { Bytes = bytes }, isCounted);

    /// <summary>Changes what is known of a segment's files, and counts the difference against the budget unless that has been done.</summary>
    private void ChangeSegment(long baseOffset, Func<SegmentInfo, SegmentInfo> change, bool isCounted)
    {
        lock (_segmentsLock)
        {
            // One that just starts is not in the list yet; it comes in with its size.
            int index = Array.FindLastIndex(_segments, segment => segment.BaseOffset == baseOffset);
            if (index < 0)
                return;

            SegmentInfo[] changed = [.. _segments];
            SegmentInfo before = changed[index];
            SegmentInfo after = changed[index] = change(before);
            Volatile.Write(ref _segments, changed);
            if (!isCounted)
                _resources.Budget.Add(after.Bytes + after.IndexBytes - before.Bytes - before.IndexBytes);
        }
    }

    internal static WritableSegment CreateSegment(IStorageFiles files, string directory, long baseOffset, long bytes, LogOptions options)
    {
        string path = Path.Combine(directory, SegmentFileName.Log(baseOffset));
        files.Delete(path);
        ILogFile file = files.Create(path);
        try
        {
            if (bytes > 0)
                file.Allocate(bytes);

            files.SyncDirectory(directory);
            return new WritableSegment(baseOffset, file, bytes, new SegmentIndex(options.IndexIntervalBytes));
        }
        catch
        {
            // Where the segment before goes on, a later recovery would take this one for the log's end, also if only a power cut brought it back.
            file.Dispose();
            files.Delete(path);
            files.SyncDirectory(directory);
            throw;
        }
    }
}
