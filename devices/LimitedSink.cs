namespace EdgeStream.Devices;

/// <summary>What happens to a record that comes faster than the limit.</summary>
public enum AboveLimit
{
    /// <summary>It is refused with <see cref="DropReason.RateLimit"/>: whoever sends it cannot be made to wait.</summary>
    Drop,

    /// <summary>It waits, and with it, by the protocol, whoever sends it.</summary>
    Wait,
}

/// <summary>Lets so many records of a source through. Records that wait keep their order.</summary>
/// <param name="inner">Where they go.</param>
/// <param name="limit">How many.</param>
/// <param name="above">What becomes of the others.</param>
/// <param name="time">The clock.</param>
public sealed class LimitedSink(IRecordSink inner, RateLimit limit, AboveLimit above, TimeProvider time) : IRecordSink
{
    private readonly Lock _lock = new();
    private readonly TokenBucket _bucket = new(limit);
    private readonly long _begin = time.GetTimestamp();
    private Task _turn = Task.CompletedTask;

    public ValueTask AppendAsync(SourceRecord record, CancellationToken cancellationToken)
    {
        if (above == AboveLimit.Wait)
            return AppendInTurnAsync(record, cancellationToken);

        lock (_lock)
        {
            if (!_bucket.TryTake(Now()))
                throw new RecordRejectedException($"more than {limit.Count} records in {limit.Per.TotalSeconds:0.###} s; rate-limit sets how many", DropReason.RateLimit);
        }

        return inner.AppendAsync(record, cancellationToken);
    }

    private async ValueTask AppendInTurnAsync(SourceRecord record, CancellationToken cancellationToken)
    {
        var handedOver = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task before;
        TimeSpan due;
        lock (_lock)
        {
            (before, _turn) = (_turn, handedOver.Task);
            due = _bucket.Reserve(Now());
        }

        ValueTask stored;
        try
        {
            // Not cancelled: the next one's turn comes after all before it, also where this one gives up.
            await before.ConfigureAwait(false);
            if (due - Now() is { Ticks: > 0 } pause)
                await Task.Delay(pause, time, cancellationToken).ConfigureAwait(false);

            stored = inner.AppendAsync(record, cancellationToken);
        }
        finally
        {
            handedOver.SetResult();
        }

        await stored.ConfigureAwait(false);
    }

    private TimeSpan Now() => time.GetElapsedTime(_begin);
}
