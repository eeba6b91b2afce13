using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Records;

namespace EdgeStream.Storage.Log;

/// <content>Gaps that a mirror takes over from the log that it copies.</content>
public sealed partial class PartitionLog
{
    /// <summary>The gap that an offset lies in.</summary>
    public Gap? FindGap(long offset) => _ledger.Find(offset);

    /// <summary>
    /// Takes note that a hub holds the records below an offset: where a gap that was noted here begins before it, because the hub's
    /// acknowledgement did not arrive, the gap begins there from now on. Only of what lies before this log's start.
    /// </summary>
    /// <exception cref="IOException">It could not be noted; the gap stays as it was.</exception>
    public void TakeBackBelow(long offset)
    {
        lock (_spaceLock)
        {
            if (offset > StartOffset || _ledger.Find(offset) is not { } gap || gap.First >= offset)
                return;

            long before = _ledger.SizeInBytes;
            _ledger.Shorten(gap, offset);
            _resources.Budget.Add(_ledger.SizeInBytes - before);
        }
    }

    /// <summary>
    /// Takes a gap over in the place of its records, as a mirror does: the offsets are noted as lost and passed over, and the log
    /// goes on behind them. Offsets that the log is beyond already are passed over, so a replay changes nothing.
    /// </summary>
    /// <returns>In two steps as <see cref="EnqueueAsync"/>; the inner task completes when the gap is durable here.</returns>
    /// <exception cref="OffsetConflictException">The gap does not continue the log; nothing was changed.</exception>
    /// <exception cref="LogFailedException">The log has stopped.</exception>
    public async ValueTask<Task<AppendedRange>> EnqueueGapAsync(Gap gap, CancellationToken cancellationToken = default)
    {
        if (gap.First < 0 || gap.Last < gap.First || gap.Last == long.MaxValue)
            throw new CorruptBatchException($"offsets {gap.First} to {gap.Last} are no gap");

        await _pendingBytes.AcquireAsync(0, cancellationToken).ConfigureAwait(false);
        var request = new AppendRequest(default, offsetsGiven: true, AckLevel.Durable) { Gap = gap };
        return _appends.Writer.TryWrite(request) ? request.Completion : throw _failure ?? new LogClosedException(Directory);
    }

    /// <summary>
    /// Order: everything before is durable → the gap is durable → a segment starts behind it. Were the gap first, a power cut
    /// could take the records before it, and nobody would send them again.
    /// </summary>
    private async ValueTask PlaceGapAsync(AppendRequest request, Gap gap)
    {
        if (!TryWritePlaced(out StorageFullException? full))
        {
            request.Fail(full);
            return;
        }

        long end = _end.Value;
        request.Range = new AppendedRange(gap.First, gap.Last);
        if (gap.Last < end)
        {
            AwaitSync(request);
            _syncSignal.Writer.TryWrite(true);
            return;
        }

        if (gap.First > end)
        {
            request.Fail(new OffsetConflictException(gap.First, end));
            return;
        }

        SyncSoon();
        await _durable.WaitForAsync(end).ConfigureAwait(false);
        lock (_spaceLock)
            NoteGap(gap with { First = end });

        // An active segment without records stays behind as an empty file, until it is dropped as the oldest.
        if ((full = await TryRollAsync(gap.Last + 1, RecordBatchHeader.Size).ConfigureAwait(false)) is not null)
        {
            request.Fail(full);
            return;
        }

        lock (_segmentsLock)
            _end.Advance(gap.Last + 1);

        AwaitSync(request);
        _syncSignal.Writer.TryWrite(true);
        SyncSoon();
    }
}
