namespace EdgeStream.Cluster.Spu;

/// <summary>
/// At an edge: the time by the hub's clock, derived from what the hub has told and this machine's monotonic clock. The wall
/// clock here, which may show 1970, plays no part. Safe from any thread.
/// </summary>
/// <remarks>
/// The hub answers a question, and its answer counts as from when the question was asked: so the time is never behind the hub's,
/// however long the answer was on its way. It is ahead by that long at most, and what expires, expires that much early.
/// </remarks>
public sealed class HubClock(TimeProvider time)
{
    private readonly Lock _lock = new();
    private (long HubTime, long AskedAt)? _told;

    /// <summary>Milliseconds since 1970 by the hub's clock; null where it was not heard since this process started.</summary>
    public long? Now
    {
        get
        {
            lock (_lock)
                return _told is { } told ? told.HubTime + (Monotonic - told.AskedAt) : null;
        }
    }

    /// <summary>Milliseconds by this machine's monotonic clock, from some beginning.</summary>
    public long Monotonic => (long)time.GetElapsedTime(0).TotalMilliseconds;

    /// <summary>Takes an answer of the hub; the newest counts.</summary>
    /// <param name="hubTime">What its clock showed, in milliseconds since 1970.</param>
    /// <param name="askedAt"><see cref="Monotonic"/> when it was asked.</param>
    public void Tell(long hubTime, long askedAt)
    {
        lock (_lock)
            _told = (hubTime, Math.Min(askedAt, Monotonic));
    }
}
