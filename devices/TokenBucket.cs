namespace EdgeStream.Devices;

/// <summary>So many in so long, for instance 10 a minute: at once, or spread over it.</summary>
public readonly record struct RateLimit(int Count, TimeSpan Per);

/// <summary>
/// Holds up to <see cref="RateLimit.Count"/> tokens, and gets them back evenly. Pure: the caller brings the time, of a monotonic clock,
/// and sees to it that one calls at a time.
/// </summary>
internal sealed class TokenBucket(RateLimit limit)
{
    private readonly TimeSpan _perToken = limit.Per / limit.Count;

    // When all tokens are there again. So a bucket is one point in time, however full it is, and needs no timer.
    private TimeSpan _fullAt = TimeSpan.MinValue;

    /// <summary>Takes a token if there is one.</summary>
    public bool TryTake(TimeSpan now)
    {
        TimeSpan next = Next(now);
        if (next - now > limit.Per)
            return false;

        _fullAt = next;
        return true;
    }

    /// <summary>Takes a token that may not be there yet; says when it will be.</summary>
    public TimeSpan Reserve(TimeSpan now)
    {
        _fullAt = Next(now);
        return _fullAt - limit.Per;
    }

    private TimeSpan Next(TimeSpan now) => (_fullAt > now ? _fullAt : now) + _perToken;
}
