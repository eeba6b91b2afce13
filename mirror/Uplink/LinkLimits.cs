namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// What all uplinks of an edge together may put on the wire: so many bytes a second, so many in a month. Safe from any thread.
/// </summary>
public sealed class LinkLimits
{
    private const string UsageFile = "uplink-usage";

    private readonly BandwidthLimit _bandwidth;
    private readonly DataPlan _plan;

    /// <param name="options">The limits.</param>
    /// <param name="dataDirectory">Where it is kept what was used of the month's data.</param>
    /// <param name="time">For both clocks.</param>
    public LinkLimits(UplinkOptions options, string dataDirectory, TimeProvider time)
    {
        BytesPerSecond = options.BytesPerSecond;
        _bandwidth = new BandwidthLimit(options.BytesPerSecond, Meter, time);
        _plan = new DataPlan(options.DataPlan, Path.Combine(dataDirectory, UsageFile), Meter, time);
        Ahead = new AheadLimit(time);
    }

    /// <summary>What goes over all uplinks.</summary>
    public WireMeter Meter { get; } = new();

    /// <summary>Bytes used of the month's data, free hours not counted.</summary>
    public long UsedThisMonth => _plan.UsedBytes;

    /// <summary>Why data waits, in one line; null where it does not.</summary>
    public string? Waiting => _plan.Problem ?? _bandwidth.Problem;

    /// <summary>The month's data is used up, and these are no free hours: no data goes, neither up nor down.</summary>
    internal bool IsMonthUsedUp => _plan.Wait() > TimeSpan.Zero;

    /// <summary>The rate to keep; null where there is none.</summary>
    internal long? BytesPerSecond { get; }

    /// <summary>What goes ahead of the ordered data, over all uplinks.</summary>
    internal AheadLimit Ahead { get; }

    /// <summary>How long data should wait before it asks again; zero where it may go now.</summary>
    internal TimeSpan Wait()
    {
        TimeSpan plan = _plan.Wait();
        return plan > TimeSpan.Zero ? plan : _bandwidth.Wait();
    }

    /// <summary>Writes down what was used; called now and then by itself, and at the end by the owner.</summary>
    public void Save() => _plan.Save();
}
