namespace EdgeStream.Devices.Gpio;

/// <summary>
/// Decides which of a line's levels count: one counts when it differs from the last that did and the line has been still since
/// for the debounce time. Pure: the caller brings the time.
/// </summary>
/// <param name="settle">How long the line must be still; zero takes each level that differs.</param>
/// <param name="initial">The level at the start, which is no change.</param>
internal sealed class Debouncer(TimeSpan settle, bool initial)
{
    private bool _settled = initial;
    private (bool Level, TimeSpan Since, DateTimeOffset At)? _pending;

    /// <summary>When <see cref="TryTake"/> may have something to give; null while the line is still.</summary>
    public TimeSpan? DueAt => _pending?.Since + settle;

    /// <summary>Takes note of a level.</summary>
    /// <param name="level">The line's level from now on.</param>
    /// <param name="now">By a monotonic clock.</param>
    /// <param name="at">By the clock on the wall.</param>
    public void Add(bool level, TimeSpan now, DateTimeOffset at) => _pending = (level, now, at);

    /// <summary>The change that has come to rest by <paramref name="now"/>, if there is one.</summary>
    public bool TryTake(TimeSpan now, out bool level, out DateTimeOffset at)
    {
        (level, at) = (_settled, default);
        if (_pending is not { } pending || now < pending.Since + settle)
            return false;

        _pending = null;
        if (pending.Level == _settled)
            return false;

        _settled = pending.Level;
        (level, at) = (pending.Level, pending.At);
        return true;
    }
}
