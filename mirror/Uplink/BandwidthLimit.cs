using System.Globalization;

namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// A token bucket over what an uplink puts on the wire, whatever it was: a piece may go while the bucket is not empty. A quarter
/// of a second of the rate can be saved up. Safe from any thread.
/// </summary>
/// <remarks>
/// Some of what goes does not ask: handshakes, acknowledgements, whatever is small and urgent. It is counted all the same, but it
/// never stops data: no more than two seconds of the rate are owed, and once who asks has waited as long as it was told, a piece
/// goes, whatever went meanwhile.
/// </remarks>
/// <param name="bytesPerSecond">The rate; null where there is none to keep.</param>
/// <param name="meter">What has gone.</param>
/// <param name="time">Its monotonic clock is used.</param>
internal sealed class BandwidthLimit(long? bytesPerSecond, WireMeter meter, TimeProvider time)
{
    // Owed at most, in seconds of the rate, and in bytes where that is less than a piece or two.
    private const double MaxDebtSeconds = 2;
    private const double MinDebtBytes = 2048;

    // For as long after data had to wait it is said that it does.
    private static readonly TimeSpan Lately = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private readonly double _capacity = Math.Max(1500, (bytesPerSecond ?? 0) / 4.0);
    private double _tokens = Math.Max(1500, (bytesPerSecond ?? 0) / 4.0);
    private long _seen = meter.Sent;
    private long _at = time.GetTimestamp();
    private long? _promised;
    private long? _held;

    /// <summary>Why data waits, in one line; null where it does not.</summary>
    public string? Problem
    {
        get
        {
            lock (_lock)
            {
                return _held is { } held && time.GetElapsedTime(held) < Lately
                    ? string.Create(CultureInfo.InvariantCulture, $"for its turn: uplink.bandwidth lets {bytesPerSecond * 8 / 1000.0:0.###} kbit/s through")
                    : null;
            }
        }
    }

    /// <summary>How long to wait before a piece may go; zero where it may go now.</summary>
    public TimeSpan Wait()
    {
        if (bytesPerSecond is not { } rate)
            return TimeSpan.Zero;

        lock (_lock)
        {
            long now = time.GetTimestamp(), sent = meter.Sent;
            double left = Math.Min(_capacity, _tokens + (time.GetElapsedTime(_at, now).TotalSeconds * rate)) - (sent - _seen);
            _tokens = Math.Max(left, -Math.Max(MinDebtBytes, rate * MaxDebtSeconds));
            (_at, _seen) = (now, sent);
            if (_tokens > 0 || _promised <= now)
            {
                _promised = null;
                return TimeSpan.Zero;
            }

            _held = now;
            _promised ??= now + (long)Math.Ceiling((1 - _tokens) / rate * time.TimestampFrequency);
            return time.GetElapsedTime(now, _promised.Value);
        }
    }
}
