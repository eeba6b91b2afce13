namespace EdgeStream.Cluster.Tests;

/// <summary>A machine without a clock chip: its wall clock shows 1970, where nobody has set it; its monotonic clock is in the hands of the test.</summary>
public sealed class ManualTime : TimeProvider
{
    private long _ticks = TimeSpan.FromHours(5).Ticks;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => Interlocked.Read(ref _ticks);

    public DateTimeOffset Date { get; init; } = DateTimeOffset.UnixEpoch;

    public override DateTimeOffset GetUtcNow() => Date;

    public void Advance(TimeSpan time) => Interlocked.Add(ref _ticks, time.Ticks);
}
