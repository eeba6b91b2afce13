namespace EdgeStream.Devices.Gpio;

/// <summary>How an output line is left. From then on nobody holds it: what must be safe needs a resistor as well.</summary>
public enum GpioAtStop
{
    Off,
    On,

    /// <summary>As it was last switched.</summary>
    Keep,
}

/// <summary>One output line and what switches it.</summary>
public sealed record GpioSinkOptions
{
    private static readonly TimeSpan MaxPulse = TimeSpan.FromHours(1);

    /// <summary>The line's number on its chip; on a Raspberry Pi that of the GPIO, not of the pin. Or its name.</summary>
    public required LineId Line { get; init; }

    /// <summary>The EdgeStream topic.</summary>
    public required string Topic { get; init; }

    /// <summary>Only records with this key are for the line; all where it is null.</summary>
    public string? Key { get; init; }

    /// <summary>The line is on when its voltage is low.</summary>
    public bool ActiveLow { get; init; }

    /// <summary>Whether the line is on until the first record comes, after each start.</summary>
    public bool Initial { get; init; }

    /// <summary>Where set, the line goes off again so long after it was switched on.</summary>
    public TimeSpan? Pulse { get; init; }

    /// <summary>Whether the line is on when the sink has stopped; <see cref="Initial"/> where it is null.</summary>
    public GpioAtStop? AtStop { get; init; }

    /// <exception cref="SourceConfigurationException">A value is out of range.</exception>
    public GpioSinkOptions Validated()
    {
        Line.Validated();
        if (Pulse is { } pulse && (pulse < TimeSpan.FromMilliseconds(1) || pulse > MaxPulse))
            throw new SourceConfigurationException($"a pulse is 1ms to 1h long, not {pulse.TotalMilliseconds} ms");

        return Pulse is not null && Initial
            ? throw new SourceConfigurationException("a line with a pulse is off at first: initial = \"on\" and pulse exclude each other")
            : this;
    }
}
