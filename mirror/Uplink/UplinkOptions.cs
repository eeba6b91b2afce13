namespace EdgeStream.Mirror.Uplink;

/// <summary>How the edge keeps its link. Times are measured by the monotonic clock.</summary>
public sealed record UplinkOptions
{
    /// <summary>
    /// How much is sent at once, in bytes. Small enough that an acknowledgement comes back within a few seconds on a slow link.
    /// </summary>
    public int ChunkBytes { get; init; } = 64 * 1024;

    /// <summary>
    /// The link is given up and made anew when data is on its way and no acknowledgement has come for so long.
    /// </summary>
    public TimeSpan ProgressTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long to wait before the first attempt to connect again; doubles up to <see cref="MaxBackoff"/>.</summary>
    public TimeSpan MinBackoff { get; init; } = TimeSpan.FromMilliseconds(500);

    public TimeSpan MaxBackoff { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a topic that the hub refused rests before it is offered again.</summary>
    public TimeSpan RefusedRetry { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>How often the hub is told the edge's durable end while nothing is sent; only where it has changed.</summary>
    public TimeSpan PositionInterval { get; init; } = TimeSpan.FromSeconds(2);
}
