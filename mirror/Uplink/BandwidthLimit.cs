namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// A token bucket over what an uplink puts on the wire, whatever it was: a piece may go while the bucket is not empty. A quarter
/// of a second of the rate can be saved up. Safe from any thread.
/// </summary>
/// <param name="bytesPerSecond">The rate; null where there is none to keep.</param>
/// <param name="meter">What has gone.</param>
/// <param name="time">Its monotonic clock is used.</param>
internal sealed class BandwidthLimit(long? bytesPerSecond, WireMeter meter, TimeProvider time)
{
    private readonly Lock _lock = new();
    private readonly double _capacity = Math.Max(1500, (bytesPerSecond ?? 0) / 4.0);
    private double _tokens = Math.Max(1500, (bytesPerSecond ?? 0) / 4.0);
    private long _seen = meter.Sent;
    private long _at = time.GetTimestamp();

    /// <summary>How long to wait before a piece may go; zero where it may go now.</summary>
    public TimeSpan Wait()
    {
        if (bytesPerSecond is not { } rate)
            return TimeSpan.Zero;

        lock (_lock)
        {
            long now = time.GetTimestamp(), sent = meter.Sent;
            _tokens = Math.Min(_capacity, _tokens + (time.GetElapsedTime(_at, now).TotalSeconds * rate)) - (sent - _seen);
            (_at, _seen) = (now, sent);
            return _tokens > 0 ? TimeSpan.Zero : TimeSpan.FromSeconds((1 - _tokens) / rate);
        }
    }
}
