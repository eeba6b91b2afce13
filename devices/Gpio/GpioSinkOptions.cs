namespace EdgeStream.Devices.Gpio;

/// <summary>One output line and what switches it.</summary>
public sealed record GpioSinkOptions
{
    private static readonly TimeSpan MaxPulse = TimeSpan.FromHours(1);

    /// <summary>The line's number on its chip; on a Raspberry Pi that of the GPIO, not of the pin.</summary>
    public required int Line { get; init; }

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

    /// <exception cref="SourceConfigurationException">A value is out of range.</exception>
    public GpioSinkOptions Validated()
    {
        if (Line is < 0 or > 1023)
            throw new SourceConfigurationException($"a GPIO line is a number from 0 to 1023, not {Line}");

        if (Pulse is { } pulse && (pulse < TimeSpan.FromMilliseconds(1) || pulse > MaxPulse))
            throw new SourceConfigurationException($"a pulse is 1ms to 1h long, not {pulse.TotalMilliseconds} ms");

        return Pulse is not null && Initial
            ? throw new SourceConfigurationException("a line with a pulse is off at first: initial = \"on\" and pulse exclude each other")
            : this;
    }
}
