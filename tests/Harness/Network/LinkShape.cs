namespace EdgeStream.Harness.Network;

/// <summary>How fast and how long a link is, the same in both directions.</summary>
/// <param name="BitsPerSecond">IP packets, headers included.</param>
/// <param name="RoundTrip">Half of it in each direction; what waits for the rate comes on top.</param>
public sealed record LinkShape(long BitsPerSecond, TimeSpan RoundTrip)
{
    // As a modem has it: some packets, or what is on its way anyhow.
    private const int SmallBuffer = 12 * 1024;

    /// <summary>A mobile link with hardly any signal.</summary>
    public static LinkShape Slow { get; } = new(50_000, TimeSpan.FromMilliseconds(100));

    /// <summary>By a satellite.</summary>
    public static LinkShape Long { get; } = new(10_000_000, TimeSpan.FromMilliseconds(600));

    /// <summary>How many bytes wait for the rate in one direction; packets that find no room are lost.</summary>
    public long BufferBytes => Math.Max(SmallBuffer, (long)(BitsPerSecond / 8 * RoundTrip.TotalSeconds));
}
