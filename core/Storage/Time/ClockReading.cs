namespace EdgeStream.Storage.Time;

/// <summary>What the machine's clocks showed at one instant.</summary>
/// <param name="BootId">Names the time from one start of the machine to its end; never the same twice.</param>
/// <param name="Monotonic">Milliseconds since that start, suspended time included.</param>
/// <param name="Wall">Milliseconds since 1970-01-01T00:00:00Z by the wall clock, which may be decades off.</param>
/// <param name="Synchronised">Whether something that knows the time has set the wall clock.</param>
public readonly record struct ClockReading(Guid BootId, long Monotonic, long Wall, bool Synchronised)
{
    /// <summary>
    /// What the wall clock would have shown at the start of the machine, in ms. It changes when the clock is set and at no other
    /// time: slewing moves both clocks.
    /// </summary>
    public long WallAtBoot => Wall - Monotonic;

    /// <summary>Whether this reading was taken in the same boot as <paramref name="earlier"/>, and after it.</summary>
    /// <remarks>A virtual machine that goes back to a snapshot keeps its boot id; its monotonic clock gives it away.</remarks>
    public bool Continues(in ClockReading earlier) => BootId == earlier.BootId && Monotonic >= earlier.Monotonic;
}
