using System.Threading.Channels;

namespace EdgeStream.Storage.Log;

/// <content>The syncer: group commit, and the end of sealed segments.</content>
public sealed partial class PartitionLog
{
    /// <summary>How many sealed segments may wait for their sync before the writer waits too.</summary>
    private const int MaxUnsyncedSegments = 1;

    private readonly SemaphoreSlim _unsyncedSegments = new(MaxUnsyncedSegments);

    // Sealed, not synced yet. Under _segmentsLock.
    private readonly List<ActiveSegment> _sealed = [];

    // In the order of their offsets. Under its own lock: the writer adds, the syncer takes.
    private readonly Queue<AppendRequest> _awaitingSync = new();

    // A full channel means that a sync is due anyway, so a second signal can go.
    private readonly Channel<bool> _syncSignal = Channel.CreateBounded<bool>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true });

    private void AwaitSync(AppendRequest request)
    {
        lock (_awaitingSync)
            _awaitingSync.Enqueue(request);
    }

    private async Task SyncLoopAsync()
    {
        while (await _syncSignal.Reader.WaitToReadAsync().ConfigureAwait(false))
        {
            _syncSignal.Reader.TryRead(out _);
            try
            {
                if (_failure is null)
                    SyncOnce();
            }
            catch (Exception failure)
            {
                // After a failed sync the kernel may report the next one as good although pages were dropped: no retry.
                Fail(failure);
            }

            if (_failure is { } failed)
                FailAwaitingSync(failed);
        }

        if (_failure is { } last)
            FailAwaitingSync(last);
    }

    /// <summary>Order: sealed segments → active segment → the durable mark → acknowledgements → checkpoint.</summary>
    private void SyncOnce()
    {
        ActiveSegment[] sealedSegments;
        ActiveSegment active;
        long end;
        lock (_segmentsLock)
        {
            sealedSegments = [.. _sealed];
            active = _active;
            end = _end.Value;
        }

        if (end == _durable.Value && sealedSegments.Length == 0)
        {
            CompleteAwaitingSync(end);
            return;
        }

        foreach (ActiveSegment segment in sealedSegments)
        {
            segment.File.SyncData();
            segment.Index.WriteFiles(_files, Directory, segment.BaseOffset);
        }

        if (end > active.BaseOffset)
            active.File.SyncData();

        _durable.Advance(end);
        CompleteAwaitingSync(end);

        foreach (ActiveSegment segment in sealedSegments)
        {
            lock (_segmentsLock)
                _sealed.Remove(segment);

            segment.Dispose();
            _unsyncedSegments.Release();
        }

        if (sealedSegments.Length > 0)
            WriteCheckpoint();
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

    private void WriteCheckpoint()
    {
        try
        {
            new LogCheckpoint(_durable.Value, _mirrored.Value).Write(_files, Directory);
        }
        catch (IOException)
        {
            // The disk may be full. The one before it still holds; recovery reads a little more.
        }
    }
}
