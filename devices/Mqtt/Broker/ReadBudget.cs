namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>Counts the bytes that were read ahead on all connections. Safe from any thread.</summary>
internal sealed class ReadBudget(long bytes)
{
    private long _left = bytes;

    public bool IsSpent => Volatile.Read(ref _left) <= 0;

    /// <summary>What has been read is counted, whether there was room for it or not.</summary>
    public void Take(int count) => Interlocked.Add(ref _left, -count);

    public void Return(int count) => Interlocked.Add(ref _left, count);
}
