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
    /// <summary>The line's number on its chip; on a Raspberry Pi that of the GPIO, not of the pin. Or its name.</summary>
    public required LineId Line { get; init; }

    /// <summary>The EdgeStream topic.</summary>
    public required string Topic { get; init; }

    /// <summary>The records' key; the line as it is configured where it is null.</summary>
    public string? Key { get; init; }

    /// <summary>Which changes become records. Has no effect with <see cref="Poll"/>.</summary>
    public GpioEdge Edge { get; init; } = GpioEdge.Both;

    /// <summary>A change counts once the line has been still for so long; zero takes each one.</summary>
    public TimeSpan Debounce { get; init; } = TimeSpan.Zero;

    /// <summary>Where set, the level is read and recorded at this interval, instead of the changes.</summary>
    public TimeSpan? Poll { get; init; }

    /// <summary>Where set, changes are counted, and their number is recorded at this interval.</summary>
    public TimeSpan? CountEvery { get; init; }

    public GpioPull Pull { get; init; } = GpioPull.None;

    /// <summary>The line is 1 when its voltage is low.</summary>
    public bool ActiveLow { get; init; }

    /// <summary>How many records it may bring; null for any number.</summary>
    public RateLimit? RateLimit { get; init; }

    /// <summary>What the line has to report: to see whether it bounces takes both edges.</summary>
    internal GpioEdge WatchedEdge => Debounce > TimeSpan.Zero ? GpioEdge.Both : Edge;

    /// <exception cref="SourceConfigurationException">A value is out of range.</exception>
    public GpioLineOptions Validated()
    {
        Line.Validated();
        if (Debounce < TimeSpan.Zero || Debounce > TimeSpan.FromMinutes(1))
            throw new SourceConfigurationException($"a debounce time is 0 to 1m, not {Debounce.TotalMilliseconds} ms");

        if (CountEvery is { } interval && (interval < TimeSpan.FromMilliseconds(100) || interval > TimeSpan.FromDays(1)))
            throw new SourceConfigurationException("pulses are counted every 100ms to 1d");

        if (CountEvery is not null && Poll is not null)
            throw new SourceConfigurationException("a line is polled or its pulses are counted: poll and count-every exclude each other");

        return Poll is { } poll && poll < TimeSpan.FromMilliseconds(1)
            ? throw new SourceConfigurationException("a line is polled every 1ms at most")
            : this;
    }
}
