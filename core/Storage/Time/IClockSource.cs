namespace EdgeStream.Storage.Time;

/// <summary>
/// The machine's clocks, as far as they are to be had; the one door to them, so that a test can be the clock. Safe from any
/// thread; neither member allocates or fails.
/// </summary>
public interface IClockSource
{
    /// <summary>Milliseconds since the machine was started, suspended time included. Never goes back within one boot.</summary>
    long Monotonic { get; }

    /// <summary>Both clocks at one instant.</summary>
    ClockReading Read();
}
