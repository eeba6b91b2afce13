namespace EdgeStream.Mirror.Uplink;

/// <summary>How the edge keeps its link. Times are measured by the monotonic clock.</summary>
public sealed record UplinkOptions
{
    /// <summary>
    /// The most that is read from a log and compressed at once, in bytes. On a slow link it is less; what goes over the link
    /// without a pause is less still.
    /// </summary>
    public int ChunkBytes { get; init; } = 256 * 1024;

    /// <summary>
    /// The link is given up and made anew when data is on its way and no acknowledgement has come for so long.
    /// </summary>
    public TimeSpan ProgressTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// How long nothing may come over a link on which nothing is under way until it is asked whether it is still there. Each
    /// question costs some 200 bytes; a dead link is noticed after twice that time at most, or when there is data.
    /// </summary>
    public TimeSpan KeepAlive { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>How long to wait before the first attempt to connect again; doubles up to <see cref="MaxBackoff"/>.</summary>
    public TimeSpan MinBackoff { get; init; } = TimeSpan.FromMilliseconds(500);

    public TimeSpan MaxBackoff { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a topic that the hub refused rests before it is offered again.</summary>
    public TimeSpan RefusedRetry { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>What counts as mirrored where there are several hubs.</summary>
    public MirrorRule Mirrored { get; init; } = MirrorRule.All;

    /// <summary>How often the hub is told how far this edge is; only where it has changed.</summary>
    public TimeSpan PositionInterval { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>
    /// How long new records wait for more, so that they go together: each chunk costs some 250 bytes, there and back. Zero sends
    /// at once.
    /// </summary>
    public TimeSpan Linger { get; init; }

    /// <summary>The most that the uplink puts on the wire, in bytes a second; null where only the link bounds it.</summary>
    public long? BytesPerSecond { get; init; }

    /// <summary>What the uplink may use in a month.</summary>
    public DataPlanOptions DataPlan { get; init; } = new();

    /// <summary>Topics that go first when the link cannot carry all of them: the larger, the earlier. 0 where none is given.</summary>
    public IReadOnlyDictionary<string, int> Priorities { get; init; } = new Dictionary<string, int>();
}
