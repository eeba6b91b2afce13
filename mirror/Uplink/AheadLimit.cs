namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// A token bucket for what goes ahead of the ordered data, which it must not starve: a quarter of a rate that may change. A second
/// of that can be saved up. Safe from any thread.
/// </summary>
internal sealed class AheadLimit(TimeProvider time)
{
    private const double Share = 0.25;

    private readonly Lock _lock = new();
    private double _tokens;
    private long _at = time.GetTimestamp();

    /// <summary>How many bytes may go now, where the link carries so many a second; 0 or less where none may.</summary>
    public int Room(double bytesPerSecond)
    {
        lock (_lock)
        {
            long now = time.GetTimestamp();
            double share = Math.Min(bytesPerSecond * Share, int.MaxValue);
            _tokens = Math.Min(share, _tokens + (time.GetElapsedTime(_at, now).TotalSeconds * share));
            _at = now;
            return (int)_tokens;
        }
    }

    /// <summary>So many bytes went; they may be more than there was room for, and the next wait for it.</summary>
    public void Went(int bytes)
    {
        lock (_lock)
            _tokens -= bytes;
    }
}
