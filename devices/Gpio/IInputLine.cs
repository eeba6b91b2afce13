namespace EdgeStream.Devices.Gpio;

/// <summary>A change of a line's level.</summary>
/// <param name="Level">The level that it changed to; active-low lines are turned round already.</param>
/// <param name="At">When, by the monotonic clock that <see cref="TimeProvider.GetTimestamp"/> reads.</param>
/// <param name="Lost">How many changes right before it were noticed and lost.</param>
public readonly record struct LineChange(bool Level, TimeSpan At, long Lost = 0);

/// <summary>An input line that is open. Disposing gives it back, after <see cref="WatchAsync"/> has ended.</summary>
public interface IInputLine : IDisposable
{
    /// <summary>Its number on the chip.</summary>
    int Number { get; }

    /// <summary>The level now; active-low lines are turned round already.</summary>
    bool Read();

    /// <summary>Hands over the changes in their order, until cancelled and those that came before are handed over.</summary>
    /// <param name="seen">Called on a thread of the line's, one at a time; must not wait.</param>
    /// <param name="cancellationToken">Ends the call, without an exception.</param>
    /// <exception cref="IOException">The line is gone.</exception>
    Task WatchAsync(Action<LineChange> seen, CancellationToken cancellationToken);
}
