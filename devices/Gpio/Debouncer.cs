namespace EdgeStream.Devices.Gpio;

/// <summary>
/// Decides which of a line's levels count: one counts when it differs from the last that did and the line has been still since
/// for the debounce time. Pure: the caller brings the time, of a monotonic clock.
/// </summary>
/// <param name="settle">How long the line must be still.</param>
/// <param name="initial">The level at the start, which is no change.</param>
internal sealed class Debouncer(TimeSpan settle, bool initial)
{
    private bool _settled = initial;
    private (bool Level, TimeSpan Since)? _pending;

    /// <summary>When <see cref="TryTake"/> may have something to give; null while the line is still.</summary>
    public TimeSpan? DueAt => _pending?.Since + settle;

    /// <summary>Takes note of the line's level from a time on.</summary>
    public void Add(bool level, TimeSpan since) => _pending = (level, since);

    /// <summary>The change that has come to rest by <paramref name="now"/>, if there is one, and since when the line has been still.</summary>
    public bool TryTake(TimeSpan now, out bool level, out TimeSpan since)
    {
        (level, since) = (_settled, default);
        if (_pending is not { } pending || now < pending.Since + settle)
            return false;

        _pending = null;
        if (pending.Level == _settled)
            return false;

        _settled = pending.Level;
        (level, since) = pending;
        return true;
    }
}
