using System.Buffers;
using System.Buffers.Binary;
using System.Threading.Channels;
using EdgeStream.Cluster.Nats;
using EdgeStream.Storage;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;

namespace EdgeStream.Cluster.Engines.JetStream;

/// <content>The writer: one loop that gives offsets and sends, and one that takes the acknowledgements, in the same order.</content>
internal sealed partial class JetStreamLog
{
    /// <summary>A message is sent when it has as much, or what the servers take at most; one larger batch goes alone.</summary>
    private const int MessageBytes = 1024 * 1024;

    /// <summary>
    /// Messages on their way at once. No more than one: of two, the first may be refused because another writer's epoch has its place, and
    /// the second be taken, as the epoch has the very sequence that it expects; there would be a hole in the offsets, which an edge that
    /// asks how far its copy is would take for stored.
    /// </summary>
    private const int MaxOnTheWay = 1;

    private const int MaxPendingBytes = 8 * 1024 * 1024;

    private readonly Channel<PendingAppend> _appends =
        Channel.CreateUnbounded<PendingAppend>(new UnboundedChannelOptions { SingleReader = true });

    // What is on its way, oldest first. Behind a failure nothing more comes in until it is settled.
    private readonly Channel<Publication> _onTheWay =
        Channel.CreateUnbounded<Publication>(new UnboundedChannelOptions { SingleReader = true });

    private readonly ByteBudget _pendingBytes = new(MaxPendingBytes);
    private readonly Acknowledgements _acknowledgements;
    private readonly SemaphoreSlim _places = new(MaxOnTheWay);

    // Held while a message is put together and sent, and while it is settled what became of those on their way.
    private readonly SemaphoreSlim _sending = new(1);

    private Task _writing = Task.CompletedTask;
    private Task _acknowledging = Task.CompletedTask;

    // Under _sending. Where the log ends with all that is on its way, and the sequence that the last of it gets.
    private long _placedEnd;
    private long _placedLatest;
    private long _placedSequence;

    // Up to where it is known what the sequences behind the last message are: of messages that there was no room for.
    private long _settledSequence;
    private PendingAppend? _current;
    private ReadOnlyMemory<byte> _rest;
    private long _lastClockNote = -1000;

    // The acknowledging loop's own.
    private long _durableLatest;

    /// <summary>One call to append. Its bytes stay unchanged until it has completed.</summary>
    private sealed class PendingAppend(ReadOnlyMemory<byte> batches, bool offsetsGiven, Gap? gap)
    {
        private readonly TaskCompletionSource<AppendedRange> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public ReadOnlyMemory<byte> Batches => batches;

        public bool OffsetsGiven => offsetsGiven;

        public Gap? Gap => gap;

        public long First { get; set; } = -1;

        public long Last { get; set; } = -1;

        public bool IsDone => _completion.Task.IsCompleted;

        public Task<AppendedRange> Completion => _completion.Task;

        public void Complete() => _completion.TrySetResult(new AppendedRange(First, Last));

        public void Fail(Exception failure) => _completion.TrySetException(failure);
    }

    /// <summary>A message on its way, with the calls that are complete when it is stored. Without a payload only those, in their turn.</summary>
    private sealed class Publication
    {
        private Piece? _first;
        private Piece? _last;

        public List<PendingAppend> Completes { get; } = [];

        public required string Subject { get; init; }

        public Gap? Gap { get; init; }

        public long Base { get; set; } = -1;

        public long End { get; set; }

        public long Latest { get; set; }

        public int Bytes { get; private set; }

        /// <summary>Where it comes to lie.</summary>
        public long Sequence { get; set; }

        public Task<PublishOutcome> Outcome { get; set; } = Task.FromResult(PublishOutcome.Stored(0));

        public bool HasPayload => _first is not null;

        public ReadOnlySequence<byte> Payload =>
            _first is null ? default : new ReadOnlySequence<byte>(_first, 0, _last!, _last!.Memory.Length);

        public void Add(ReadOnlyMemory<byte> bytes)
        {
            _last = new Piece(bytes, _last);
            _first ??= _last;
            Bytes += bytes.Length;
        }

        private sealed class Piece : ReadOnlySequenceSegment<byte>
        {
            public Piece(ReadOnlyMemory<byte> bytes, Piece? before)
            {
                Memory = bytes;
                if (before is null)
                    return;

                RunningIndex = before.RunningIndex + before.Memory.Length;
                before.Next = this;
            }
        }
    }

    public ValueTask<Task<AppendedRange>> EnqueueAsync(
        ReadOnlyMemory<byte> batches, AckLevel ack, CancellationToken cancellationToken = default) =>
        QueueAsync(batches, offsetsGiven: false, ack, cancellationToken);

    public ValueTask<Task<AppendedRange>> EnqueueVerbatimAsync(
        ReadOnlyMemory<byte> batches, AckLevel ack, CancellationToken cancellationToken = default) =>
        QueueAsync(batches, offsetsGiven: true, ack, cancellationToken);

    public async ValueTask<Task<AppendedRange>> EnqueueGapAsync(Gap gap, CancellationToken cancellationToken = default)
    {
        if (gap.First < 0 || gap.Last < gap.First || gap.Last == long.MaxValue)
            throw new CorruptBatchException($"offsets {gap.First} to {gap.Last} are no gap");

        await _pendingBytes.AcquireAsync(0, cancellationToken).ConfigureAwait(false);
        return Queue(new PendingAppend(default, offsetsGiven: true, gap)).Completion;
    }

    private void Begin()
    {
        _writing = Task.Run(WriteLoopAsync);
        _acknowledging = Task.Run(AcknowledgeLoopAsync);
    }

    private async ValueTask<Task<AppendedRange>> QueueAsync(
        ReadOnlyMemory<byte> batches, bool offsetsGiven, AckLevel ack, CancellationToken cancellationToken)
    {
        RecordBatches.Verify(batches.Span);
        CheckFits(batches);
        if (!offsetsGiven && ProducerSequences.IsAnyNumbered(batches.Span))
            await LoadSequencesAsync(cancellationToken).ConfigureAwait(false);

        await _pendingBytes.AcquireAsync(batches.Length, cancellationToken).ConfigureAwait(false);
        PendingAppend append;
        try
        {
            append = Queue(new PendingAppend(batches, offsetsGiven, gap: null));
        }
        catch
        {
            _pendingBytes.Release(batches.Length);
            throw;
        }

        return _acknowledgements.WaitAsync(append.Completion, batches.Length, ack, cancellationToken);
    }

    private PendingAppend Queue(PendingAppend append) =>
        _appends.Writer.TryWrite(append) ? append : throw _failure ?? new LogClosedException(_id.ToString());

    private void CheckFits(ReadOnlyMemory<byte> batches)
    {
        int limit = _servers.MaxPayload;
        if (batches.Length <= limit)
            return;

        foreach ((RecordBatchHeader header, _) in RecordBatches.Split(batches))
        {
            if (header.TotalLength > limit)
            {
                throw new ClusterException(
                    ErrorCode.InvalidArgument,
                    $"a batch of {header.TotalLength} bytes is larger than a message of the NATS servers may be, {limit}; raise max_payload there (8MB at most), "
                    + "or let producers send smaller batches");
            }
        }
    }

    private async Task WriteLoopAsync()
    {
        while (_current is not null || await _appends.Reader.WaitToReadAsync().ConfigureAwait(false))
        {
            // While it waits here, what comes meanwhile is gathered: that is the group commit.
            await _places.WaitAsync().ConfigureAwait(false);
            await _sending.WaitAsync().ConfigureAwait(false);
            try
            {
                if (_failure is { } failure)
                {
                    FailWaiting(failure);
                    _places.Release();
                }
                else if (Gather() is { } publication)
                {
                    await SendAsync(publication).ConfigureAwait(false);
                }
                else
                {
                    _places.Release();
                }
            }
            catch (Exception unexpected)
            {
                // A mistake of ours: better to stop than to give offsets that something else may have.
                FailWaiting(Fail(unexpected.Message));
                _places.Release();
            }
            finally
            {
                _sending.Release();
            }
        }

        _onTheWay.Writer.TryComplete();
    }

    private void FailWaiting(Exception failure)
    {
        _current?.Fail(failure);
        _current = null;
        while (_appends.Reader.TryRead(out PendingAppend? append))
            append.Fail(failure);
    }

    private async ValueTask SendAsync(Publication publication)
    {
        if (publication.HasPayload)
        {
            long expected = _placedSequence;
            publication.Sequence = ++_placedSequence;
            publication.Outcome = await _servers
                .PublishAsync(publication.Subject, publication.Payload, HeadersOf(expected, publication.Latest))
                .ConfigureAwait(false);
        }

        _onTheWay.Writer.TryWrite(publication);
    }

    /// <summary>Puts together what goes into the next message; null where that is nothing.</summary>
    private Publication? Gather()
    {
        NoteClock();
        var data = new Publication { Subject = _names.Data };
        int limit = _servers.MaxPayload;
        while (data.Bytes < MessageBytes && (_current is not null || TryTake()))
        {
            PendingAppend append = _current!;
            if (append.Gap is { } gap)
            {
                if (data.HasPayload || data.Completes.Count > 0)
                    break;

                _current = null;
                return PlaceGap(append, gap);
            }

            if (!TryPlace(append, data, limit))
                break;

            _current = null;
            if (!append.IsDone)
                data.Completes.Add(append);
        }

        data.End = _placedEnd;
        data.Latest = _placedLatest;
        return data.HasPayload || data.Completes.Count > 0 ? data : null;
    }

    private bool TryTake()
    {
        if (!_appends.Reader.TryRead(out _current))
            return false;

        _rest = _current.Batches;
        return true;
    }

    /// <summary>Gives batches their offsets and adds them to a message; false where it is full, and the rest is for the next one.</summary>
    private bool TryPlace(PendingAppend append, Publication data, int limit)
    {
        while (!_rest.IsEmpty)
        {
            RecordBatchHeader.TryRead(_rest.Span, out RecordBatchHeader header, out _);
            ReadOnlyMemory<byte> batch = _rest[..header.TotalLength];
            if (FindPlace(append, header, out bool isHeld, out Exception? refusal) is not { } offset)
            {
                append.Fail(refusal!);
                return true;
            }

            if (!isHeld)
            {
                if (data.HasPayload && data.Bytes + batch.Length > Math.Min(limit, MessageBytes))
                    return false;

                Add(data, batch, header, offset);
                if (!append.OffsetsGiven && ProducerSequences.IsNumbered(header))
                    _sequences!.Note(header, offset);
            }

            append.First = append.First < 0 ? offset : append.First;
            append.Last = offset + header.LastOffsetDelta;
            _rest = _rest[header.TotalLength..];
        }

        return true;
    }

    /// <summary>The offset that a batch gets, or has; null where it is refused.</summary>
    private long? FindPlace(PendingAppend append, in RecordBatchHeader header, out bool isHeld, out Exception? refusal)
    {
        (isHeld, refusal) = (false, null);
        if (append.OffsetsGiven)
        {
            isHeld = header.NextOffset <= _placedEnd;
            if (isHeld || header.BaseOffset == _placedEnd)
                return header.BaseOffset;

            refusal = new OffsetConflictException(header.BaseOffset, _placedEnd);
            return null;
        }

        if (!ProducerSequences.IsNumbered(header))
            return _placedEnd;

        if (_sequences is not { } sequences)
        {
            refusal = new LogBusyException("what producers have appended is being looked up; try again");
            return null;
        }

        if (!sequences.TryFollow(header, out AppendedRange? known, out string? problem))
        {
            refusal = new SequenceConflictException(problem);
            return null;
        }

        isHeld = known is not null;
        return known?.BaseOffset ?? _placedEnd;
    }

    private void Add(Publication data, ReadOnlyMemory<byte> batch, in RecordBatchHeader header, long offset)
    {
        if (header.BaseOffset == offset)
        {
            data.Add(batch);
        }
        else
        {
            // The caller's bytes are not ours to change, so the offset goes out from eight bytes of its own.
            byte[] baseOffset = new byte[sizeof(long)];
            BinaryPrimitives.WriteInt64BigEndian(baseOffset, offset);
            data.Add(baseOffset);
            data.Add(batch[sizeof(long)..]);
        }

        data.Base = data.Base < 0 ? offset : data.Base;
        _placedEnd = offset + header.LastOffsetDelta + 1;
        _placedLatest = Math.Max(_placedLatest, header.MaxTimestamp);
    }

    private Publication? PlaceGap(PendingAppend append, Gap gap)
    {
        (append.First, append.Last) = (gap.First, gap.Last);
        if (gap.First > _placedEnd)
        {
            append.Fail(new OffsetConflictException(gap.First, _placedEnd));
            return null;
        }

        bool isHeld = gap.Last < _placedEnd;
        Gap rest = gap with { First = _placedEnd };
        var publication = new Publication { Subject = _names.Gap, Gap = isHeld ? null : rest, Latest = _placedLatest, Base = rest.First };
        publication.Completes.Add(append);
        if (!isHeld)
        {
            publication.Add(StreamMessage.Encode(rest));
            _placedEnd = gap.Last + 1;
        }

        publication.End = _placedEnd;
        return publication;
    }

    /// <summary>Once a second, before offsets are given: what the machine's clock says from here on.</summary>
    private void NoteClock()
    {
        long now = Environment.TickCount64;
        if (now - _lastClockNote < 1000)
            return;

        _lastClockNote = now;
        Clock.Note(_placedEnd);
    }

    private async Task AcknowledgeLoopAsync()
    {
        while (await _onTheWay.Reader.WaitToReadAsync().ConfigureAwait(false))
        {
            if (!_onTheWay.Reader.TryPeek(out Publication? first))
                continue;

            PublishOutcome outcome = await first.Outcome.ConfigureAwait(false);
            if (outcome.Result == PublishResult.Stored && (!first.HasPayload || outcome.Sequence == first.Sequence))
            {
                _onTheWay.Reader.TryRead(out _);
                Complete(first);
            }
            else
            {
                await SettleAsync(outcome).ConfigureAwait(false);
            }
        }
    }

    /// <summary>A message is stored, and so is all before it.</summary>
    private void Complete(Publication publication)
    {
        if (publication.HasPayload)
        {
            if (publication.Gap is { } gap)
                NoteGap(gap, publication.Sequence);

            Volatile.Write(ref _lastSequence, publication.Sequence);
            _index.Add(new SequenceIndex.Entry(publication.Sequence, publication.Base, publication.Latest));
            _durableLatest = publication.Latest;
            Interlocked.Add(ref _storedBytes, publication.Bytes);
            if (publication.Gap is null)
                Interlocked.Add(ref _appendedBytes, publication.Bytes);

            _fullReason = null;
            _durable.Advance(publication.End);
        }

        foreach (PendingAppend append in publication.Completes)
            append.Complete();

        _places.Release();
    }
}
