namespace EdgeStream.Storage.Log;

/// <summary>
/// Bounds the bytes in flight: who wants in beyond the limit waits, first come first served. One that is larger than the whole
/// limit is let in alone. Safe from any thread.
/// </summary>
public sealed class ByteBudget(long limit)
{
    private readonly Lock _lock = new();
    private readonly LinkedList<(TaskCompletionSource Turn, long Bytes)> _waiting = new();
    private long _used;
    private Exception? _closed;

    public long Used
    {
        get
        {
            lock (_lock)
                return _used;
        }
    }

    /// <summary>Takes <paramref name="bytes"/>; each call that returns is followed by one <see cref="Release"/>.</summary>
    public async ValueTask AcquireAsync(long bytes, CancellationToken cancellationToken)
    {
        LinkedListNode<(TaskCompletionSource Turn, long Bytes)> node;
        lock (_lock)
        {
            if (_closed is { } closed)
                throw closed;

            if (_waiting.Count == 0 && Fits(bytes))
            {
                _used += bytes;
                return;
            }

            node = _waiting.AddLast((new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously), bytes));
        }

        try
        {
            await node.Value.Turn.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            lock (_lock)
            {
                if (node.List is not null)
                {
                    _waiting.Remove(node);
                    AdmitWaiting();
                    throw;
                }
            }

            // The turn came at the same moment: give back what nobody will use.
            Release(bytes);
            throw;
        }
    }

    /// <summary>Takes <paramref name="bytes"/> where that needs no waiting; then one <see cref="Release"/> follows.</summary>
    public bool TryAcquire(long bytes)
    {
        lock (_lock)
        {
            if (_closed is not null || _waiting.Count > 0 || !Fits(bytes))
                return false;

            _used += bytes;
            return true;
        }
    }

    public void Release(long bytes)
    {
        lock (_lock)
        {
            _used -= bytes;
            AdmitWaiting();
        }
    }

    /// <summary>Ends all waits, those to come included, with an error.</summary>
    public void Close(Exception reason)
    {
        lock (_lock)
        {
            _closed ??= reason;
            foreach ((TaskCompletionSource turn, _) in _waiting)
                turn.TrySetException(_closed);

            _waiting.Clear();
        }
    }

    private bool Fits(long bytes) => _used == 0 || _used + bytes <= limit;

    private void AdmitWaiting()
    {
        while (_waiting.First is { } first && Fits(first.Value.Bytes))
        {
            _waiting.RemoveFirst();
            _used += first.Value.Bytes;
            first.Value.Turn.SetResult();
        }
    }
}
