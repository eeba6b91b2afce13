using System.Threading.Channels;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Segments;

namespace EdgeStream.Storage.Log;

/// <content>The syncer: group commit, and the end of sealed segments.</content>
public sealed partial class PartitionLog
{
    /// <summary>How many sealed segments may wait for their sync before the writer waits too.</summary>
    private const int MaxUnsyncedSegments = 1;

    private readonly SemaphoreSlim _unsyncedSegments = new(MaxUnsyncedSegments);

    // Sealed, not synced yet. Under _segmentsLock.
    private readonly List<WritableSegment> _sealed = [];

    // Ends a sync interval early; released by SyncSoon. Left over, it only lets one interval be short.
    private readonly SemaphoreSlim _syncSoon = new(0, 1);

    /// <summary>The least time between two checkpoints of an active segment, in milliseconds.</summary>
    private const int CheckpointInterval = 1000;

    private readonly Lock _checkpointLock = new();

    // Where the durable end lies on the disk. Under _segmentsLock.
    private DurableEnd _durableEnd;

    // Milliseconds of the system's uptime, as Environment.TickCount64.
    private long _lastSync = Environment.TickCount64 - (long)TimeSpan.FromHours(1).TotalMilliseconds;
    private long _lastCheckpoint;

    // In the order of their offsets. Under its own lock: the writer adds, the syncer takes.
    private readonly Queue<AppendRequest> _awaitingSync = new();

    // A full channel means that a sync is due anyway, so a second signal can go.
    private readonly Channel<bool> _syncSignal = Channel.CreateBounded<bool>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true });

    private readonly LoopActivity _syncing = new();

    private readonly record struct DurableEnd(long Offset, long Segment, long Position, bool IsClean = false);

    private void AwaitSync(AppendRequest request)
    {
        lock (_awaitingSync)
            _awaitingSync.Enqueue(request);
    }

    private async Task SyncLoopAsync()
    {
        while (await _syncSignal.Reader.WaitToReadAsync().ConfigureAwait(false))
        {
            try
            {
                await WaitForIntervalAsync().ConfigureAwait(false);
                _syncSignal.Reader.TryRead(out _);
                _syncing.Begin();
                if (_failure is null)
                    SyncOnce();
            }
            catch (Exception failure)
            {
                // After a failed sync the kernel may report the next one as good although pages were dropped: no retry.
                Fail(failure);
            }

            _syncing.End();
            if (_failure is { } failed)
                FailAwaitingSync(failed);
        }

        if (_failure is { } last)
            FailAwaitingSync(last);
    }

    /// <summary>Order: sealed segments → active segment → the durable mark → acknowledgements → checkpoint.</summary>
    private void SyncOnce()
    {
        WritableSegment[] sealedSegments;
        WritableSegment active;
        DurableEnd written;
        lock (_segmentsLock)
        {
            sealedSegments = [.. _sealed];
            active = _active;
            written = new DurableEnd(_end.Value, active.BaseOffset, active.Position);
        }

        long end = written.Offset;

        if (end == _durable.Value && sealedSegments.Length == 0)
        {
            CompleteAwaitingSync(end);
            return;
        }

        foreach (WritableSegment segment in sealedSegments)
            SyncSealed(segment);

        if (end > active.BaseOffset)
            active.File.SyncData();

        _lastSync = Environment.TickCount64;
        lock (_segmentsLock)
            _durableEnd = written;

        _durable.Advance(end);
        foreach (WritableSegment segment in sealedSegments)
        {
            lock (_segmentsLock)
                _sealed.Remove(segment);

            segment.Dispose();
            _unsyncedSegments.Release();
        }

        CompleteAwaitingSync(end);
        if (sealedSegments.Length > 0 || Environment.TickCount64 - _lastCheckpoint >= CheckpointInterval)
            TryWriteCheckpoint();
    }

    /// <summary>
    /// The checkpoint of a clean end lets recovery skip what lies before it and look for nothing behind it. So it must be gone before
    /// the first write: of what is written and never synced, any part may be on the disk after a failure, and would be taken for
    /// records once others stand before it. Called by the writer.
    /// </summary>
    private void EndCleanState()
    {
        lock (_segmentsLock)
        {
            if (!_durableEnd.IsClean)
                return;

            _durableEnd = _durableEnd with { IsClean = false };
        }

        try
        {
            WriteCheckpoint(sync: true);
        }
        catch (IOException full) when (DiskErrors.IsFull(full))
        {
            // None is as good: recovery then reads the segment through.
            _files.Delete(Path.Combine(Directory, LogCheckpoint.FileName));
            _files.SyncDirectory(Directory);
        }
    }

    /// <summary>Cuts off what was allocated and not used, and writes the index: from here on the file does not change.</summary>
    private void SyncSealed(WritableSegment segment)
    {
        if (segment.Position < segment.Capacity)
            segment.File.Truncate(segment.Position);

        segment.File.SyncData();
        ResizeSegment(segment.BaseOffset, segment.Position);
        WriteIndex(segment);
    }

    /// <summary>Keeps the card asleep until the next sync is due, or somebody cannot wait.</summary>
    private async ValueTask WaitForIntervalAsync()
    {
        TimeSpan interval = _settings.Sync.Interval;
        TimeSpan due = interval - TimeSpan.FromMilliseconds(Environment.TickCount64 - _lastSync);
        if (due > TimeSpan.Zero && _failure is null && Volatile.Read(ref _disposed) == 0)
            await _syncSoon.WaitAsync(due).ConfigureAwait(false);
    }

    private void SyncSoon()
    {
        try
        {
            if (_syncSoon.CurrentCount == 0)
                _syncSoon.Release();
        }
        catch (SemaphoreFullException)
        {
            // Somebody else was faster.
        }
    }

    private void CompleteAwaitingSync(long durable)
    {
        lock (_awaitingSync)
        {
            while (_awaitingSync.TryPeek(out AppendRequest? request) && request.Range.LastOffset < durable)
            {
                _awaitingSync.Dequeue();
                request.Complete();
            }
        }
    }

    private void FailAwaitingSync(Exception failure)
    {
        lock (_awaitingSync)
        {
            while (_awaitingSync.TryDequeue(out AppendRequest? request))
                request.Fail(failure);
        }

        // A writer that waits to roll must not wait for ever.
        if (_unsyncedSegments.CurrentCount == 0)
            _unsyncedSegments.Release();
    }

    private void TryWriteCheckpoint()
    {
        try
        {
            WriteCheckpoint(sync: false);
        }
        catch (IOException)
        {
            // The disk may be full. The one before it still holds; recovery reads a little more.
        }
    }

    private void WriteCheckpoint(bool sync)
    {
        lock (_checkpointLock)
        {
            LogCheckpoint checkpoint;
            lock (_segmentsLock)
            {
                checkpoint = new LogCheckpoint(
                    _segments[0].BaseOffset, _mirrored.Value, _durableEnd.Offset, _durableEnd.Segment, _durableEnd.Position,
                    _durableEnd.IsClean);
            }

            checkpoint.Write(_files, Directory, sync);
            _lastCheckpoint = Environment.TickCount64;
        }
    }
}
