namespace EdgeStream.Devices.Sysfs;

/// <summary>Files of the kernel that each hold one value, and what becomes of it.</summary>
public sealed record SysfsOptions
{
    /// <summary>An absolute path; <c>*</c> and <c>?</c> stand for parts of names, so that it may mean several files.</summary>
    public required string Path { get; init; }

    /// <summary>The EdgeStream topic.</summary>
    public required string Topic { get; init; }

    /// <summary>The records' key; each file's path where it is null.</summary>
    public string? Key { get; init; }

    /// <summary>How often the files are read.</summary>
    public TimeSpan Every { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Added to what the file says, before <see cref="Scale"/>: the order of the kernel's own <c>_offset</c> and <c>_scale</c>.</summary>
    public decimal Offset { get; init; }

    public decimal Scale { get; init; } = 1;

    /// <summary>Stands in the record where it is not null.</summary>
    public string? Unit { get; init; }

    /// <summary>Where set, a value is recorded only if it differs by so much from the last one of its file that was.</summary>
    public decimal? Change { get; init; }

    /// <summary>With <see cref="Change"/>: a value is recorded all the same when the last record is so old.</summary>
    public TimeSpan? AtLeastEvery { get; init; }

    /// <summary>How many records it may bring; null for any number.</summary>
    public RateLimit? RateLimit { get; init; }

    /// <exception cref="SourceConfigurationException">A value is out of range.</exception>
    public SysfsOptions Validated()
    {
        if (!Path.StartsWith('/'))
            throw new SourceConfigurationException($"'{Path}' is no absolute path; write for instance \"/sys/class/thermal/thermal_zone0/temp\"");

        if (Every < TimeSpan.FromMilliseconds(100) || Every > TimeSpan.FromDays(1))
            throw new SourceConfigurationException("files are read every 100ms to 1d");

        if (Scale == 0)
            throw new SourceConfigurationException("a scale of 0 would make each value 0");

        if (Change <= 0)
            throw new SourceConfigurationException("change is more than 0; leave it out to record each value");

        return AtLeastEvery is not null && Change is null
            ? throw new SourceConfigurationException("at-least-every is for a source with change; without it each value is recorded")
            : this;
    }
}
