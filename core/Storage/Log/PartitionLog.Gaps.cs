using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Records;

namespace EdgeStream.Storage.Log;

/// <content>Gaps that a mirror takes over from the log that it copies.</content>
public sealed partial class PartitionLog
{
    /// <summary>The gap that an offset lies in.</summary>
    public Gap? FindGap(long offset) => _ledger.Find(offset);

    /// <summary>The gap that an offset lies in, or the next one behind it.</summary>
    public Gap? FindNextGap(long offset) => _ledger.FindNext(offset);

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
    /// Takes gaps over that follow each other, at the price of one. Order: everything before is durable → the gaps are durable → a
    /// segment starts behind them. Were the gaps first, a power cut could take the records before them, and nobody would send them
    /// again.
    /// </summary>
    private async ValueTask PlaceGapsAsync(AppendRequest[] requests)
    {
        StorageFullException? full = null;
        if (_failure is not null || !TryWritePlaced(out full))
        {
            foreach (AppendRequest request in requests)
                request.Fail(_failure ?? (Exception)full!);

            return;
        }

        long end = _end.Value, next = end;
        var placed = new List<AppendRequest>(requests.Length);
        var gaps = new List<Gap>(requests.Length);
        foreach (AppendRequest request in requests)
        {
            Gap gap = request.Gap!;
            if (gap.First > next)
            {
                request.Fail(new OffsetConflictException(gap.First, next));
                continue;
            }

            request.Range = new AppendedRange(gap.First, gap.Last);
            placed.Add(request);
            if (gap.Last < next)
                continue;

            gaps.Add(gap with { First = next });
            next = gap.Last + 1;
        }

        if (gaps.Count > 0)
        {
            SyncSoon();
            await _durable.WaitForAsync(end).ConfigureAwait(false);
            lock (_spaceLock)
                NoteGaps(gaps);

            // An active segment without records stays behind as an empty file, until it is dropped as the oldest.
            if ((full = await TryRollAsync(next, RecordBatchHeader.Size).ConfigureAwait(false)) is not null)
            {
                foreach (AppendRequest request in placed)
                    request.Fail(full);

                return;
            }

            lock (_segmentsLock)
                _end.Advance(next);
        }

        foreach (AppendRequest request in placed)
            AwaitSync(request);

        _syncSignal.Writer.TryWrite(true);
        if (gaps.Count > 0)
            SyncSoon();
    }
}
