namespace EdgeStream.Devices.Commands;

/// <summary>A program whose output lines become records.</summary>
public sealed record CommandOptions
{
    /// <summary>The program, by its path or by its name in PATH, and its arguments as they are: there is no shell.</summary>
    public required IReadOnlyList<string> Command { get; init; }

    /// <summary>The EdgeStream topic.</summary>
    public required string Topic { get; init; }

    /// <summary>The records' key; none where it is null.</summary>
    public string? Key { get; init; }

    /// <summary>
    /// Where set, the program is run at this interval and ends by itself; one that is still there when the next is due, is killed. Where
    /// it is null, the program runs for ever, and is started again when it ends.
    /// </summary>
    public TimeSpan? Every { get; init; }

    /// <summary>Longer lines are dropped.</summary>
    public int MaxLineBytes { get; init; } = 64 * 1024;

    /// <summary>How many records it may bring; null for any number.</summary>
    public RateLimit? RateLimit { get; init; }

    /// <exception cref="SourceConfigurationException">A value is out of range.</exception>
    public CommandOptions Validated()
    {
        if (Command.Count == 0 || Command[0].Length == 0)
            throw new SourceConfigurationException("is missing: write for instance [\"/usr/local/bin/read-meter\", \"--once\"]");

        if (Command.Any(part => part.Contains('\0', StringComparison.Ordinal)))
            throw new SourceConfigurationException("a program's arguments cannot contain a zero byte");

        return Every is { } every && (every < TimeSpan.FromMilliseconds(500) || every > TimeSpan.FromDays(1))
            ? throw new SourceConfigurationException("a program is run every 500ms to 1d")
            : this;
    }
}
