namespace EdgeStream.Storage.Records;

/// <summary>
/// Gathers records that come one by one into batches, so that many share one write, one sync and one acknowledgement. It does
/// not wait for a batch to fill: while one is being sent the next one gathers, so batches grow with the load and a lone record
/// goes at once. Safe from any thread; records keep the order of the calls.
/// </summary>
/// <param name="codec">How batches are compressed.</param>
/// <param name="send">
/// Takes a finished batch; called for one batch after the other. The outer task completes when the next batch may be handed
/// over (the order of the two is then settled), the inner one with the offset of the batch's first record once it is
/// acknowledged. The memory is valid until then.
/// </param>
/// <param name="fillsWhileUnacknowledged">
/// Whether a batch that could take more waits until no other is unacknowledged, where it would else wait until the last one was
/// handed over. Full ones wait for neither.
/// </param>
/// <param name="producerId">
/// Numbers the batches for whoever appends them, so that one that is sent again is known (Kafka's producer id, epoch 0, and base
/// sequence); -1 for batches without numbers.
/// </param>
public sealed class RecordAccumulator(
    CompressionCodec codec, Func<ReadOnlyMemory<byte>, CancellationToken, ValueTask<Task<long>>> send, bool fillsWhileUnacknowledged = false,
    long producerId = -1)
    : IAsyncDisposable
{
    // Where a batch is closed although it could take more, in bytes before compression.
    private const int TargetBatchBytes = 64 * 1024;

    // Batches that gather or wait for their acknowledgement; callers beyond that wait.
    private const int MaxBatches = 64;

    private readonly Lock _lock = new();
    private readonly LinkedList<Waiter> _waiting = new();
    private readonly Queue<Batch> _closed = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource _drained = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Batch? _gathering;
    private int _batches;
    private int _sent;
    private int _nextSequence;
    private bool _isSending;
    private bool _disposed;

    private sealed class Batch(RecordBatchOptions options)
    {
        public RecordBatchWriter Writer { get; } = new(options);

        public TaskCompletionSource<long> Acknowledged { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private sealed record Waiter(Record Record)
    {
        public TaskCompletionSource<Place> Placed { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private readonly record struct Place(Batch Batch, int Index);

    /// <summary>
    /// Adds a record. The outer task completes when the record was copied and has its place in the order, the inner one with
    /// its offset once it is acknowledged. Its memory must stay unchanged until the outer task has completed.
    /// </summary>
    /// <exception cref="EdgeStreamException">The record is too large for any batch.</exception>
    public async ValueTask<Task<long>> AddAsync(Record record, CancellationToken cancellationToken = default) =>
        OffsetOfAsync(await PlaceAsync(record, cancellationToken).ConfigureAwait(false));

    /// <summary>As <see cref="AddAsync"/>, for who need not know the offset: the inner task is one for all records of a batch.</summary>
    public async ValueTask<Task> AddToBatchAsync(Record record, CancellationToken cancellationToken = default) =>
        (await PlaceAsync(record, cancellationToken).ConfigureAwait(false)).Batch.Acknowledged.Task;

    /// <summary>Sends what has its place, and waits until it is acknowledged or has failed. Who still waits gets an error.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (_lock)
        {
            if (_disposed)
                return;

            _disposed = true;
            foreach (Waiter waiter in _waiting)
                waiter.Placed.TrySetException(new ObjectDisposedException(nameof(RecordAccumulator)));

            _waiting.Clear();
            if (_batches == 0)
                _drained.TrySetResult();
        }

        await _drained.Task.ConfigureAwait(false);
        _stop.Dispose();
    }

    /// <summary>Ends sends that wait, so that disposing does not wait for a peer that may never answer.</summary>
    public void Abort() => _stop.Cancel();

    private async ValueTask<Place> PlaceAsync(Record record, CancellationToken cancellationToken)
    {
        LinkedListNode<Waiter> waiter;
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_waiting.Count == 0 && TryPlace(record) is { } placed)
                return placed;

            waiter = _waiting.AddLast(new Waiter(record));
        }

        using CancellationTokenRegistration cancelled = cancellationToken.Register(() =>
        {
            lock (_lock)
            {
                if (waiter.List is null)
                    return;

                _waiting.Remove(waiter);
            }

            waiter.Value.Placed.TrySetCanceled(cancellationToken);
        });
        return await waiter.Value.Placed.Task.ConfigureAwait(false);
    }

    /// <summary>Puts a record into the batch that gathers, or a new one; null where all are on their way. Under the lock.</summary>
    private Place? TryPlace(in Record record)
    {
        if (_gathering is { } gathering && HasRoom(gathering.Writer, record))
            return Append(gathering, record);

        if (_batches == MaxBatches)
            return null;

        var batch = new Batch(Options());
        Place place;
        try
        {
            place = Append(batch, record);
        }
        catch
        {
            batch.Writer.Dispose();
            throw;
        }

        _batches++;
        if (_gathering is { } full)
            _closed.Enqueue(full);

        _gathering = batch;
        SendNext();
        return place;
    }

    private static bool HasRoom(RecordBatchWriter writer, in Record record) =>
        writer.EstimatedSize + (record.Key?.Length ?? 0) + (record.Value?.Length ?? 0) <= TargetBatchBytes;

    /// <summary>Of the next batch: nothing is added to those before it any more.</summary>
    private RecordBatchOptions Options() => producerId < 0
        ? new RecordBatchOptions { Codec = codec }
        : new RecordBatchOptions { Codec = codec, ProducerId = producerId, ProducerEpoch = 0, BaseSequence = _nextSequence };

    private Place Append(Batch batch, in Record record)
    {
        int index = batch.Writer.RecordCount;
        batch.Writer.Append(record);
        _nextSequence = (_nextSequence + 1) & int.MaxValue;
        return new Place(batch, index);
    }

    private static async Task<long> OffsetOfAsync(Place place) =>
        await place.Batch.Acknowledged.Task.ConfigureAwait(false) + place.Index;

    private bool HasNext => _closed.Count > 0 || (_gathering is not null && (_sent == 0 || !fillsWhileUnacknowledged));

    private void SendNext()
    {
        if (_isSending || !HasNext)
            return;

        _isSending = true;
        _ = Task.Run(SendAllAsync);
    }

    private async Task SendAllAsync()
    {
        while (TakeNext() is { } batch)
        {
            try
            {
                Task<long> acknowledged = await send(batch.Writer.Build(), _stop.Token).ConfigureAwait(false);
                _ = CompleteAsync(batch, acknowledged);
            }
            catch (Exception failure)
            {
                Finish(batch, failure);
            }
        }
    }

    private Batch? TakeNext()
    {
        lock (_lock)
        {
            if (!HasNext)
            {
                _isSending = false;
                return null;
            }

            _sent++;
            if (_closed.TryDequeue(out Batch? closed))
                return closed;

            (Batch? gathered, _gathering) = (_gathering, null);
            return gathered;
        }
    }

    private async Task CompleteAsync(Batch batch, Task<long> acknowledged)
    {
        Exception? failure = null;
        try
        {
            batch.Acknowledged.TrySetResult(await acknowledged.ConfigureAwait(false));
        }
        catch (Exception error)
        {
            failure = error;
        }

        Finish(batch, failure);
    }

    private void Finish(Batch batch, Exception? failure)
    {
        if (failure is not null)
            batch.Acknowledged.TrySetException(failure);

        batch.Writer.Dispose();
        lock (_lock)
        {
            _batches--;
            _sent--;
            AdmitWaiting();
            SendNext();
            if (_disposed && _batches == 0)
                _drained.TrySetResult();
        }
    }

    private void AdmitWaiting()
    {
        while (_waiting.First is { } first)
        {
            try
            {
                if (TryPlace(first.Value.Record) is not { } placed)
                    return;

                first.Value.Placed.TrySetResult(placed);
            }
            catch (Exception refused)
            {
                first.Value.Placed.TrySetException(refused);
            }

            _waiting.RemoveFirst();
        }
    }
}
