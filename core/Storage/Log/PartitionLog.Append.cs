using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Threading.Channels;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Records;
using EdgeStream.Storage.Segments;

namespace EdgeStream.Storage.Log;

/// <content>The writer: one loop that assigns offsets and writes.</content>
public sealed partial class PartitionLog
{
    /// <summary>The most that is written, and so synced, at once: one commit.</summary>
    private const int MaxCommitBytes = 4 * 1024 * 1024;

    private readonly Channel<AppendRequest> _appends =
        Channel.CreateUnbounded<AppendRequest>(new UnboundedChannelOptions { SingleReader = true });

    private readonly LoopActivity _writing = new();

    // What bounds the queue above.
    private readonly ByteBudget _pendingBytes;
    private readonly Acknowledgements _acknowledgements;

    // The commit being put together; the writer's own.
    private readonly List<ReadOnlyMemory<byte>> _buffers = [];
    private readonly List<(long BaseOffset, long Position, long MaxTimestamp)> _placed = [];
    private readonly List<AppendRequest> _placedRequests = [];

    /// <summary>Appends batches at the end of the log, which gives them their offsets, and waits for the acknowledgement.</summary>
    /// <inheritdoc cref="EnqueueAsync"/>
    public async ValueTask<AppendedRange> AppendAsync(
        ReadOnlyMemory<byte> batches, AckLevel ack, CancellationToken cancellationToken = default)
    {
        Task<AppendedRange> acknowledged = await EnqueueAsync(batches, ack, cancellationToken).ConfigureAwait(false);
        return await acknowledged.ConfigureAwait(false);
    }

    /// <summary>
    /// Appends batches at the end of the log in two steps, for callers that keep several on their way: the outer task completes
    /// when the batches have their place in the order of all appends, the inner one with the acknowledgement.
    /// </summary>
    /// <param name="batches">
    /// One or more whole batches. Their base offsets are ignored. Not written to, and must stay unchanged until the inner task
    /// has completed.
    /// </param>
    /// <param name="ack">When the inner task completes.</param>
    /// <param name="cancellationToken">
    /// Heeded while the call waits for its turn, and while it waits for the hub. In between, the records will be stored.
    /// </param>
    /// <exception cref="CorruptBatchException">A batch is malformed or its checksum is wrong; nothing was stored.</exception>
    /// <exception cref="SequenceConflictException">
    /// A batch that has a producer's number is not the next of that producer. One that was appended before is not stored again: it is
    /// acknowledged with the offsets that it has.
    /// </exception>
    /// <exception cref="StorageFullException">
    /// There is no room. Of several batches the first may have been stored, but were not acknowledged.
    /// </exception>
    /// <exception cref="LogFailedException">The log has stopped; whether the records were stored is unknown.</exception>
    /// <exception cref="RecordsLostException">Retention dropped the records before the hub had them.</exception>
    public ValueTask<Task<AppendedRange>> EnqueueAsync(
        ReadOnlyMemory<byte> batches, AckLevel ack, CancellationToken cancellationToken = default) =>
        QueueAsync(batches, offsetsGiven: false, ack, cancellationToken);

    /// <summary>
    /// Appends batches verbatim at the offsets that they bring, as a mirror does. Batches that the log holds already are passed
    /// over, so a replay changes nothing.
    /// </summary>
    /// <exception cref="OffsetConflictException">A batch does not continue the log; neither it nor what follows was stored.</exception>
    /// <inheritdoc cref="EnqueueAsync"/>
    public ValueTask<Task<AppendedRange>> EnqueueVerbatimAsync(
        ReadOnlyMemory<byte> batches, AckLevel ack, CancellationToken cancellationToken = default) =>
        QueueAsync(batches, offsetsGiven: true, ack, cancellationToken);

    private async ValueTask<Task<AppendedRange>> QueueAsync(
        ReadOnlyMemory<byte> batches, bool offsetsGiven, AckLevel ack, CancellationToken cancellationToken)
    {
        RecordBatches.Verify(batches.Span);
        if (!offsetsGiven && ProducerSequences.IsAnyNumbered(batches.Span))
            await LoadSequencesAsync(cancellationToken).ConfigureAwait(false);

        await _pendingBytes.AcquireAsync(batches.Length, cancellationToken).ConfigureAwait(false);
        var request = new AppendRequest(batches, offsetsGiven, ack);
        if (!_appends.Writer.TryWrite(request))
        {
            _pendingBytes.Release(batches.Length);
            throw _failure ?? new LogClosedException(Directory);
        }

        return _acknowledgements.WaitAsync(request.Completion, batches.Length, ack, cancellationToken);
    }

    /// <summary>Asks for the active segment to be sealed; completes once it is synced. Null where the log has stopped.</summary>
    private Task<AppendedRange>? TryQueueRoll()
    {
        var request = new AppendRequest(default, offsetsGiven: false, AckLevel.Durable);
        return _appends.Writer.TryWrite(request) ? request.Completion : null;
    }

    private async Task WriteLoopAsync()
    {
        var commit = new List<AppendRequest>();
        while (await _appends.Reader.WaitToReadAsync().ConfigureAwait(false))
        {
            commit.Clear();
            long bytes = 0;
            while (bytes < MaxCommitBytes && _appends.Reader.TryRead(out AppendRequest? request))
            {
                commit.Add(request);
                bytes += request.Batches.Length;
            }

            _writing.Begin();
            await WriteCommitAsync(commit).ConfigureAwait(false);
            _writing.End();
        }
    }

    private async ValueTask WriteCommitAsync(List<AppendRequest> commit)
    {
        try
        {
            NoteClock();
            for (int at = 0; at < commit.Count;)
            {
                if (commit[at].Gap is null)
                {
                    await PlaceAsync(commit[at++]).ConfigureAwait(false);
                    continue;
                }

                AppendRequest[] gaps = [.. commit.Skip(at).TakeWhile(request => request.Gap is not null)];
                await PlaceGapsAsync(gaps).ConfigureAwait(false);
                at += gaps.Length;
            }

            TryWritePlaced(out _);
        }
        catch (Exception failure)
        {
            // A full disk was told to the requests that it hit. Anything that gets here ends the log.
            // What was put together is not for the next commit: its callers have been told and may reuse their memory.
            Exception surfaced = Fail(failure);
            ClearPlaced();
            foreach (AppendRequest request in commit)
                request.Fail(surfaced);
        }
    }

    /// <summary>Once a second, before offsets are given: what the machine's clock says from here on.</summary>
    private void NoteClock()
    {
        long now = Environment.TickCount64;
        if (now - _lastClockNote < 1000)
            return;

        _lastClockNote = now;
        Clock.Note(_end.Value);
    }

    /// <summary>Gives a request its offsets and adds its bytes to the commit; rolls the segment where it is full.</summary>
    private async ValueTask PlaceAsync(AppendRequest request)
    {
        if (_failure is { } failure)
        {
            request.Fail(failure);
            return;
        }

        if (request.IsRoll)
        {
            await PlaceRollAsync(request).ConfigureAwait(false);
            return;
        }

        long first = -1, last = -1;
        for (ReadOnlyMemory<byte> rest = request.Batches; !rest.IsEmpty;)
        {
            RecordBatchHeader.TryRead(rest.Span, out RecordBatchHeader header, out _);
            ReadOnlyMemory<byte> batch = rest[..header.TotalLength];
            rest = rest[header.TotalLength..];

            bool isNumbered = !request.OffsetsGiven && ProducerSequences.IsNumbered(header);
            if (isNumbered)
            {
                if (_sequences is not { } sequences)
                {
                    request.Fail(new LogBusyException("what producers have appended is being looked up; try again"));
                    break;
                }

                if (!sequences.TryFollow(header, out AppendedRange? known, out string? problem))
                {
                    request.Fail(new SequenceConflictException(problem));
                    break;
                }

                if (known is { } range)
                {
                    (first, last) = (first < 0 ? range.BaseOffset : first, range.LastOffset);
                    continue;
                }
            }

            long end = PlacedEnd;
            if (request.OffsetsGiven && header.BaseOffset != end)
            {
                if (header.NextOffset <= end)
                {
                    first = first < 0 ? header.BaseOffset : first;
                    last = header.LastOffset;
                    continue;
                }

                request.Fail(new OffsetConflictException(header.BaseOffset, end));
                break;
            }

            if (!HasRoomFor(header.TotalLength)
                && (!TryWritePlaced(out StorageFullException? full) || (full = await TryRollAsync(PlacedEnd, header.TotalLength).ConfigureAwait(false)) is not null))
            {
                _fullReason = full.Message;
                request.Fail(full);
                return;
            }

            long position = PlacedPosition;
            first = first < 0 ? end : first;
            last = end + header.LastOffsetDelta;
            AddBuffers(batch, header, end);
            _placed.Add((end, position, header.MaxTimestamp));
            if (isNumbered)
                _sequences!.Note(header, end);

            _placedEnd = last + 1;
            _placedPosition = position + header.TotalLength;
        }

        request.Range = new AppendedRange(first, last);
        _placedRequests.Add(request);
    }

    /// <summary>Seals the active segment, and completes once it is synced: a repair may want to touch it.</summary>
    private async ValueTask PlaceRollAsync(AppendRequest request)
    {
        StorageFullException? full = null;
        if (TryWritePlaced(out full) && _active.Position > 0)
            full = await TryRollAsync(_end.Value, RecordBatchHeader.Size).ConfigureAwait(false);

        if (full is not null)
        {
            request.Fail(full);
            return;
        }

        request.Range = new AppendedRange(_end.Value - 1, _end.Value - 1);
        AwaitSync(request);
        _syncSignal.Writer.TryWrite(true);
        SyncSoon();
    }

    private bool HasRoomFor(int bytes)
    {
        long needed = PlacedPosition + bytes;
        return (PlacedPosition == 0 || needed <= SegmentBytes) && (needed <= _active.Capacity || TryGrow(needed));
    }

    // Where the commit being put together ends; -1 while it is empty.
    private long _placedEnd = -1;
    private long _placedPosition = -1;

    private long PlacedEnd => _placedEnd < 0 ? _end.Value : _placedEnd;

    private long PlacedPosition => _placedPosition < 0 ? _active.Position : _placedPosition;

    private void AddBuffers(ReadOnlyMemory<byte> batch, in RecordBatchHeader header, long offset)
    {
        if (header.BaseOffset == offset)
        {
            _buffers.Add(batch);
            return;
        }

        // The caller's bytes are not ours to change, so the offset goes out from eight bytes of its own.
        byte[] baseOffset = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(baseOffset, offset);
        _buffers.Add(baseOffset);
        _buffers.Add(batch[sizeof(long)..]);
    }

    /// <summary>
    /// Writes the commit that was put together, moves the end, and acknowledges or hands on to the syncer. False where the disk
    /// is full, which the requests of the commit were told.
    /// </summary>
    private bool TryWritePlaced([NotNullWhen(false)] out StorageFullException? full)
    {
        full = null;
        if (_buffers.Count > 0)
            EndCleanState();

        try
        {
            if (_buffers.Count > 0)
                _active.File.Write(_buffers, _active.Position);
        }
        catch (IOException error) when (DiskErrors.IsFull(error))
        {
            full = StorageFullException.OfDisk(LogPath(_active.BaseOffset), error);
            _fullReason = full.Message;
            foreach (AppendRequest request in _placedRequests)
                request.Fail(full);

            ClearPlaced();
            ForgetSequences();

            WipeBehindEnd();
            return false;
        }

        if (_buffers.Count > 0)
        {
            foreach ((long baseOffset, long position, long maxTimestamp) in _placed)
                _active.Index.Add(baseOffset - _active.BaseOffset, position, maxTimestamp);

            Interlocked.Add(ref _appendedBytes, _placedPosition - _active.Position);
            _fullReason = null;
            lock (_segmentsLock)
            {
                _active.Position = _placedPosition;
                _end.Advance(_placedEnd);
            }
        }

        foreach (AppendRequest request in _placedRequests)
        {
            if (request.AwaitsSync)
                AwaitSync(request);
            else
                request.Complete();
        }

        ClearPlaced();
        _syncSignal.Writer.TryWrite(true);
        return true;
    }

    private void ClearPlaced()
    {
        _buffers.Clear();
        _placed.Clear();
        _placedRequests.Clear();
        (_placedEnd, _placedPosition) = (-1, -1);
    }

    /// <summary>Starts a new segment. The result is the error where there is no room for one.</summary>
    private async ValueTask<StorageFullException?> TryRollAsync(long baseOffset, int needed)
    {
        if (_active.BaseOffset == baseOffset)
            return GrowEmpty(needed);

        await _unsyncedSegments.WaitAsync().ConfigureAwait(false);
        if (_failure is { } failure)
            throw failure;

        WritableSegment next;
        try
        {
            next = StartSegment(baseOffset, needed);
        }
        catch (Exception error) when (error is StorageFullException || (error is IOException disk && DiskErrors.IsFull(disk)))
        {
            _unsyncedSegments.Release();
            return error as StorageFullException ?? StorageFullException.OfDisk(LogPath(baseOffset), error);
        }

        lock (_segmentsLock)
        {
            _sealed.Add(_active);
            _active = next;
            Volatile.Write(ref _segments, [.. _segments, new SegmentInfo(next.BaseOffset, next.Capacity)]);
        }

        Volatile.Write(ref _activeSince, _resources.AgeClock());

        SyncSoon();
        return null;
    }
}
