namespace EdgeStream.Devices.Gpio;

public enum GpioEdge
{
    Both,
    Rising,
    Falling,
}

public enum GpioPull
{
    /// <summary>As the board has it.</summary>
    None,
    Up,
    Down,
}

/// <summary>One input line and what becomes of its changes.</summary>
public sealed record GpioLineOptions
{
    /// <summary>The line's number on its chip; on a Raspberry Pi that of the GPIO, not of the pin.</summary>
    public required int Line { get; init; }

    /// <summary>The EdgeStream topic.</summary>
    public required string Topic { get; init; }

    /// <summary>The records' key; the line's number where it is null.</summary>
    public string? Key { get; init; }

    /// <summary>Which changes become records. Has no effect with <see cref="Poll"/>.</summary>
    public GpioEdge Edge { get; init; } = GpioEdge.Both;

    /// <summary>A change counts once the line has been still for so long; zero takes each one.</summary>
    public TimeSpan Debounce { get; init; } = TimeSpan.Zero;

    /// <summary>Where set, the level is read and recorded at this interval, instead of the changes.</summary>
    public TimeSpan? Poll { get; init; }

    public GpioPull Pull { get; init; } = GpioPull.None;

    /// <summary>The line is 1 when its voltage is low.</summary>
    public bool ActiveLow { get; init; }

    /// <exception cref="SourceConfigurationException">A value is out of range.</exception>
    public GpioLineOptions Validated()
    {
        if (Line is < 0 or > 1023)
            throw new SourceConfigurationException($"a GPIO line is a number from 0 to 1023, not {Line}");

        if (Debounce < TimeSpan.Zero || Debounce > TimeSpan.FromMinutes(1))
            throw new SourceConfigurationException($"a debounce time is 0 to 1m, not {Debounce.TotalMilliseconds} ms");

        return Poll is { } poll && poll < TimeSpan.FromMilliseconds(1)
            ? throw new SourceConfigurationException("a line is polled every 1ms at most")
            : this;
    }
}
