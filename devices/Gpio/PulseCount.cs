namespace EdgeStream.Devices.Gpio;

/// <summary>Pulses, and which of them stand in a record already. Safe from any thread; lives as long as its source.</summary>
internal sealed class PulseCount
{
    private long _total;
    private long _reported;

    /// <summary>How many, since the start.</summary>
    public long Total => Volatile.Read(ref _total);

    public void Add(long pulses) => Interlocked.Add(ref _total, pulses);

    /// <summary>How many of the first <paramref name="total"/> stand in no record yet.</summary>
    public long UnreportedOf(long total) => total - Volatile.Read(ref _reported);

    /// <summary>The first <paramref name="total"/> stand in a record that is durable.</summary>
    public void Reported(long total) => Volatile.Write(ref _reported, total);
}
