using EdgeStream.Storage.Retention;
using EdgeStream.Storage.Time;

namespace EdgeStream.Storage.Log;

/// <summary>What the logs of one node share.</summary>
public sealed record LogResources
{
    /// <summary>The disk that they may use together.</summary>
    public DiskBudget Budget { get; init; } = DiskBudget.Unlimited;

    /// <summary>
    /// The clock that retention by age goes by, in milliseconds: it only moves forward, and stands still rather than believe a
    /// wall clock that was not set. Called from any thread.
    /// </summary>
    public Func<long> AgeClock { get; init; } = static () => Environment.TickCount64;

    /// <summary>
    /// The machine's clocks, from which each log keeps what it takes to correct timestamps from before the clock was set; null
    /// for a copy, whose records another machine has stamped.
    /// </summary>
    public IClockSource? Clock { get; init; }

    /// <summary>For the time at which gaps are noted.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}
