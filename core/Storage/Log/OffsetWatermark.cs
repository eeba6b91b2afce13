namespace EdgeStream.Storage.Log;

/// <summary>
/// An offset that only grows, and that any number of callers can wait for. Safe from any thread. Waiters are resumed on the
/// thread pool, never on the thread that advances it.
/// </summary>
public sealed class OffsetWatermark(long initial)
{
    private readonly Lock _lock = new();
    private long _value = initial;
    private TaskCompletionSource? _changed;
    private Exception? _failure;

    public long Value => Volatile.Read(ref _value);

    /// <summary>Raises the mark; a smaller value changes nothing.</summary>
    public void Advance(long value)
    {
        TaskCompletionSource? changed;
        lock (_lock)
        {
            if (value <= _value)
                return;

            Volatile.Write(ref _value, value);
            (changed, _changed) = (_changed, null);
        }

        changed?.SetResult();
    }

    /// <summary>Ends all waits, those to come included, with an error. Values reached before stay valid.</summary>
    public void Fail(Exception failure)
    {
        TaskCompletionSource? changed;
        lock (_lock)
        {
            _failure ??= failure;
            (changed, _changed) = (_changed, null);
        }

        changed?.SetResult();
    }

    /// <summary>Completes once the mark is at least <paramref name="offset"/>.</summary>
    public async ValueTask WaitForAsync(long offset, CancellationToken cancellationToken = default)
    {
        while (Value < offset)
        {
            Task changed;
            lock (_lock)
            {
                if (_value >= offset)
                    return;

                if (_failure is { } failure)
                    throw failure;

                changed = (_changed ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
            }

            await changed.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }
}
