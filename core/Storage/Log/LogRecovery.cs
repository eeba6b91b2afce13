using System.Buffers;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Segments;

namespace EdgeStream.Storage.Log;

/// <summary>What opening a partition's directory brought to light.</summary>
internal sealed record RecoveredLog(
    WritableSegment Active, SegmentInfo[] Segments, long End, long Mirrored, GapLedger Ledger, RecoveryReport Report);

/// <summary>
/// Opens a partition's directory after whatever has happened to it. Its work does not depend on the log's length: it lists the
/// directory, and reads from the checkpoint on, which is two segments at most.
/// </summary>
/// <remarks>
/// What is good is kept, and what is missing is noted as a gap: offsets that anybody may have seen are never given again. So
/// the log's end never lies below what the checkpoint says was durable.
/// </remarks>
internal sealed class LogRecovery(
    string directory, IStorageFiles files, LogOptions options, LogResources resources)
{
    // A sealed segment is synced before the one behind it is sealed: of these, only the last two can be torn.
    private const int UnsyncedSegments = 2;

    private readonly Quarantine _quarantine = new(files, directory, resources.Budget);
    private readonly List<SegmentInfo> _segments = [];
    private GapLedger _ledger = null!;
    private LogCheckpoint _checkpoint;
    private bool _hasCheckpoint;
    private int _scanned;
    private long _scannedBytes;
    private long _tornBytes;
    private long _lostRecords;
    private SegmentIndex? _index;

    public RecoveredLog Recover(bool created)
    {
        _ledger = GapLedger.Open(files, directory);
        if (LogCheckpoint.TryRead(files, directory) is { } checkpoint)
            (_hasCheckpoint, _checkpoint) = (true, checkpoint);

        ListSegments();
        DropReappeared();
        NoteMissingStart();
        _index = LoadIndex();
        long end = ScanTail();
        WritableSegment active = OpenActive(ref end);
        var report = new RecoveryReport(created, _scanned, _scannedBytes, _tornBytes, _lostRecords);
        return new RecoveredLog(active, [.. _segments], end, _checkpoint.Mirrored, _ledger, report);
    }

    private void ListSegments()
    {
        var indexBytes = new Dictionary<long, int>();
        foreach ((string name, long length) in files.ListFiles(directory))
        {
            if (SegmentFileName.TryParseLog(name, out long baseOffset))
                _segments.Add(new SegmentInfo(baseOffset, length));
            else if (SegmentFileName.TryParseIndex(name, out baseOffset))
                indexBytes[baseOffset] = indexBytes.GetValueOrDefault(baseOffset) + (int)Math.Min(length, int.MaxValue / 2);
            else if (name.EndsWith(SegmentRepair.TemporaryExtension, StringComparison.Ordinal))
                files.Delete(Path.Combine(directory, name));
        }

        _segments.Sort((a, b) => a.BaseOffset.CompareTo(b.BaseOffset));
        for (int i = 0; i < _segments.Count; i++)
            _segments[i] = _segments[i] with { IndexBytes = indexBytes.GetValueOrDefault(_segments[i].BaseOffset) };
    }

    /// <summary>A drop is durably noted before the file goes; where the power went in between, the file goes now.</summary>
    private void DropReappeared()
    {
        while (_segments.Count > 1 && WasDropped(_segments[0].BaseOffset, _segments[1].BaseOffset))
        {
            files.Delete(Path.Combine(directory, SegmentFileName.Log(_segments[0].BaseOffset)));
            _segments.RemoveAt(0);
        }
    }

    private bool WasDropped(long baseOffset, long endOffset) =>
        endOffset <= _checkpoint.Start || _ledger.Uncovered(baseOffset, endOffset - 1).Count == 0;

    /// <summary>Segments missing at the front: the log's own drops are in the checkpoint or in the ledger beforehand.</summary>
    private void NoteMissingStart()
    {
        if (_hasCheckpoint && _segments.Count > 0 && _segments[0].BaseOffset > _checkpoint.Start)
            NoteLost(_checkpoint.Start, _segments[0].BaseOffset - 1, 0);
    }

    /// <summary>Reads the tail, and repairs what is damaged in it. The result is the offset behind the last good record.</summary>
    private long ScanTail()
    {
        int first = FirstToScan();
        long end = first < _segments.Count ? _segments[first].BaseOffset : _checkpoint.Start;
        for (int i = first; i < _segments.Count; i++)
        {
            SegmentInfo segment = _segments[i];
            bool isLast = i == _segments.Count - 1;
            if (segment.BaseOffset < end)
            {
                // Not this log's own: the offsets are in the segment before.
                _quarantine.Move(PathOf(segment), segment.BaseOffset, segment.Bytes);
                _segments.RemoveAt(i--);
                continue;
            }

            BatchRun run = ScanSegment(segment);
            if (run.IsEmpty && isLast && segment.BaseOffset > Math.Max(end, _checkpoint.Durable))
            {
                // Made for records that never became durable, and were torn in the segment before.
                RemoveEmpty(segment);
                _segments.RemoveAt(i);
                break;
            }

            if (segment.BaseOffset > end)
                NoteLost(end, segment.BaseOffset - 1, 0);

            long nextBase = isLast ? long.MaxValue : _segments[i + 1].BaseOffset;
            end = run.Next;
            if (end < nextBase && !EndedCleanly(segment, run) && HasBatchBehind(segment, run, nextBase))
            {
                IReadOnlyList<SegmentInfo> left = new SegmentRepair(files, directory, _quarantine).Repair(segment, isLast ? null : nextBase, NoteLost);
                _segments.RemoveAt(i);
                _segments.InsertRange(i, left);
                i += left.Count - 1;
                end = left.Count == 0 ? segment.BaseOffset : EndOf(left[^1]);
            }
        }

        return end;
    }

    private int FirstToScan()
    {
        int last = Math.Max(0, _segments.Count - UnsyncedSegments);
        return Math.Max(last, _segments.FindLastIndex(segment => segment.BaseOffset <= _checkpoint.Segment));
    }

    private BatchRun ScanSegment(SegmentInfo segment)
    {
        using var file = new SalvagedFile(files.OpenForReading(PathOf(segment)));
        (long position, long offset) = StartOf(segment);
        BatchRun run = SegmentScanner.Scan(file, position, offset);
        _scanned++;
        _scannedBytes += run.EndPosition - run.Position;
        _tornBytes += SegmentScanner.TornBytes(file, run.EndPosition, run.Next);
        return run with { Position = 0, First = segment.BaseOffset };
    }

    private (long Position, long Offset) StartOf(SegmentInfo segment) =>
        _index is not null && segment.BaseOffset == _checkpoint.Segment ? (_checkpoint.Position, _checkpoint.Durable) : (0, segment.BaseOffset);

    /// <summary>The index of the active segment as it was when the log was closed; null where it was not, or is lost.</summary>
    private SegmentIndex? LoadIndex()
    {
        bool isThere = _checkpoint.IsClean
            && _segments.Exists(segment => segment.BaseOffset == _checkpoint.Segment && segment.Bytes >= _checkpoint.Position);
        var index = new SegmentIndex(options.IndexIntervalBytes);
        return isThere && index.TryLoad(files, directory, _checkpoint.Segment) ? index : null;
    }

    private bool EndedCleanly(SegmentInfo segment, BatchRun run) =>
        _index is not null && segment.BaseOffset == _checkpoint.Segment && run.Next == _checkpoint.Durable;

    private bool HasBatchBehind(SegmentInfo segment, BatchRun run, long nextBase)
    {
        using var file = new SalvagedFile(files.OpenForReading(PathOf(segment)));
        return SegmentScanner.FindRuns(file, run.EndPosition, run.Next, nextBase).Count > 0;
    }

    private long EndOf(SegmentInfo segment)
    {
        using var file = new SalvagedFile(files.OpenForReading(PathOf(segment)));
        return SegmentScanner.Scan(file, 0, segment.BaseOffset).Next;
    }

    private void RemoveEmpty(SegmentInfo segment)
    {
        using (var file = new SalvagedFile(files.OpenForReading(PathOf(segment))))
        {
            if (SegmentScanner.TornBytes(file, 0, segment.BaseOffset) is > 0 and var torn)
                _tornBytes += torn;
        }

        files.Delete(PathOf(segment));
    }

    /// <summary>The segment that takes what comes; a new one where the end lies below what had been durable.</summary>
    private WritableSegment OpenActive(ref long end)
    {
        long durable = Math.Max(_checkpoint.Durable, _ledger.Gaps is [.., var last] ? last.Last + 1 : 0);
        if (end < durable)
            NoteLost(end, durable - 1, 0);

        if (_segments.Count == 0 || end < durable)
        {
            end = Math.Max(end, durable);
            WritableSegment made = CreateActive(end);
            _segments.Add(new SegmentInfo(end, made.Capacity));
            return made;
        }

        SegmentInfo info = _segments[^1];
        ILogFile file = files.OpenForWriting(PathOf(info));
        try
        {
            (long position, long offset) = StartOf(info);
            SegmentIndex index = position > 0 ? _index! : new SegmentIndex(options.IndexIntervalBytes);
            var active = new WritableSegment(info.BaseOffset, file, info.Bytes, index);
            var salvaged = new SalvagedFile(file);
            BatchRun run = SegmentScanner.Scan(salvaged, position, offset, long.MaxValue, index, info.BaseOffset);
            active.Position = run.EndPosition;
            if (SegmentScanner.TornBytes(salvaged, run.EndPosition, run.Next) > 0)
                Wipe(active);

            // What a crashed process had written may not have been synced; it is about to be called durable.
            SyncScanned(active);
            return active;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>A full disk does not keep the log from opening: the segment then grows with the first batch for which there is room.</summary>
    private WritableSegment CreateActive(long baseOffset)
    {
        try
        {
            return PartitionLog.CreateSegment(files, directory, baseOffset, Math.Min(options.SegmentBytes, options.PreallocateBytes), options);
        }
        catch (IOException full) when (DiskErrors.IsFull(full))
        {
            return PartitionLog.CreateSegment(files, directory, baseOffset, bytes: 0, options);
        }
    }

    /// <summary>A torn batch is cut, so that what comes later cannot complete it.</summary>
    private void Wipe(WritableSegment active)
    {
        active.File.Truncate(active.Position);
        try
        {
            active.File.Allocate(active.Capacity);
        }
        catch (IOException full) when (DiskErrors.IsFull(full))
        {
            active.Capacity = active.Position;
        }

        _segments[^1] = _segments[^1] with { Bytes = active.Capacity };
    }

    private void SyncScanned(WritableSegment active)
    {
        for (int i = Math.Max(0, _segments.Count - UnsyncedSegments); i < _segments.Count - 1; i++)
        {
            using ILogFile file = files.OpenForWriting(PathOf(_segments[i]));
            WriteAgain(file, _segments[i].BaseOffset, _segments[i].Bytes);
            file.SyncData();
        }

        WriteAgain(active.File, active.BaseOffset, active.Position);
        active.File.SyncData();
        files.SyncDirectory(directory);
    }

    /// <summary>
    /// Writes anew what is not proved to be durable. Where a sync has failed since the machine was started, the page cache still
    /// has what the disk has not, counts it as written, and would not write it at the next sync.
    /// </summary>
    private void WriteAgain(ILogFile file, long baseOffset, long endPosition)
    {
        if (baseOffset < _checkpoint.Segment)
            return;

        byte[] buffer = ArrayPool<byte>.Shared.Rent(256 * 1024);
        try
        {
            long position = baseOffset == _checkpoint.Segment ? _checkpoint.Position : 0;
            while (position < endPosition)
            {
                int read = file.Read(buffer.AsSpan(0, (int)Math.Min(buffer.Length, endPosition - position)), position);
                if (read == 0)
                    break;

                file.Write([buffer.AsMemory(0, read)], position);
                position += read;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Notes what is lost; below the checkpoint's durable mark it is damage, beyond it a power cut's doing.</summary>
    private void NoteLost(long first, long last, long bytes)
    {
        long now = resources.Time.GetUtcNow().ToUnixTimeMilliseconds();
        long durable = Math.Max(first, Math.Min(_checkpoint.Durable, last + 1));
        foreach ((long from, long to, GapReason reason) in (ReadOnlySpan<(long, long, GapReason)>)[
            (first, durable - 1, GapReason.Damage), (durable, last, GapReason.Torn)])
        {
            if (from > to)
                continue;

            _lostRecords += _ledger.Uncovered(from, to).Sum(part => part.Last - part.First + 1);
            _ledger.Add(new Gap(from, to, bytes, -1, -1, reason, now));
        }
    }

    private string PathOf(SegmentInfo segment) => Path.Combine(directory, SegmentFileName.Log(segment.BaseOffset));
}
