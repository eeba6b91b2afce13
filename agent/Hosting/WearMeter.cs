namespace EdgeStream.Agent.Hosting;

/// <summary>
/// What the process makes the disk write, and where that leads: samples of the last hour, a minute apart. Safe from any thread.
/// </summary>
internal sealed class WearMeter
{
    private const int MaxSamples = 60;
    private static readonly TimeSpan MinSpan = TimeSpan.FromSeconds(30);

    private readonly TimeProvider _time;
    private readonly Func<long> _written;
    private readonly Lock _lock = new();
    private readonly Queue<(long At, long Used, long Written)> _samples = new();

    public WearMeter(TimeProvider time, Func<long>? written = null)
    {
        _time = time;
        _written = written ?? WrittenBytes;
    }

    /// <summary>Bytes that this process has had the kernel send to disks, as the kernel counts them; 0 where it does not tell.</summary>
    public static long WrittenBytes()
    {
        const string Key = "write_bytes: ";
        try
        {
            string? line = File.ReadLines("/proc/self/io").FirstOrDefault(line => line.StartsWith(Key, StringComparison.Ordinal));
            return line is null ? 0 : long.Parse(line.AsSpan(Key.Length), System.Globalization.CultureInfo.InvariantCulture);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return 0;
        }
    }

    /// <summary>Remembers how much of the budget is used and how much was written by now.</summary>
    public void Sample(long used)
    {
        lock (_lock)
        {
            _samples.Enqueue((_time.GetTimestamp(), used, _written()));
            if (_samples.Count > MaxSamples)
                _samples.Dequeue();
        }
    }

    /// <summary>When the budget is used up, and what is written in a year, at the rate since the oldest sample.</summary>
    /// <param name="free">What of the budget is free, in bytes.</param>
    /// <param name="used">What is used, in bytes.</param>
    /// <returns>Null, and 0, where there is too little to tell by, or nothing grows.</returns>
    public (TimeSpan? FullIn, long WrittenPerYear) Forecast(long free, long used)
    {
        (long At, long Used, long Written) oldest;
        lock (_lock)
        {
            if (!_samples.TryPeek(out oldest))
                return (null, 0);
        }

        TimeSpan span = _time.GetElapsedTime(oldest.At);
        if (span < MinSpan)
            return (null, 0);

        double growth = (used - oldest.Used) / span.TotalSeconds;
        double seconds = growth > 0 ? free / growth : 0;
        long perYear = (long)((_written() - oldest.Written) / span.TotalSeconds * TimeSpan.FromDays(365).TotalSeconds);
        return (seconds > 0 && seconds < TimeSpan.FromDays(36500).TotalSeconds ? TimeSpan.FromSeconds(seconds) : null, perYear);
    }
}
