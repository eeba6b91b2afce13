namespace EdgeStream.Cluster.Topology;

/// <summary>What has come up from a geo-location since this node started. Safe from any thread.</summary>
public sealed class GeoLocationTraffic(TimeProvider time)
{
    // What a message has around it: a header of gRPC and one of HTTP/2.
    private const int FrameBytes = 5 + 9;

    // Shorter, and a single chunk would be the rate.
    private static readonly TimeSpan Shortest = TimeSpan.FromSeconds(2);

    // How long back the rate remembers.
    private static readonly TimeSpan Memory = TimeSpan.FromSeconds(10);

    private readonly Lock _lock = new();
    private long _since = time.GetTimestamp();
    private long _bytesSince;
    private long _wireBytes;
    private long _batchBytes;
    private double _rate;

    /// <summary>Bytes of the uplink's messages with their headers, TLS not included.</summary>
    public long WireBytes => Interlocked.Read(ref _wireBytes);

    /// <summary>Bytes of the record batches that they brought.</summary>
    public long BatchBytes => Interlocked.Read(ref _batchBytes);

    /// <summary>Bytes of record batches a second, of late.</summary>
    public double BatchBytesPerSecond
    {
        get
        {
            lock (_lock)
            {
                Sample();
                return _rate;
            }
        }
    }

    public void CountMessage(int bytes) => Interlocked.Add(ref _wireBytes, bytes + FrameBytes);

    public void CountBatches(int bytes)
    {
        Interlocked.Add(ref _batchBytes, bytes);
        lock (_lock)
        {
            _bytesSince += bytes;
            Sample();
        }
    }

    private void Sample()
    {
        TimeSpan elapsed = time.GetElapsedTime(_since);
        if (elapsed < Shortest)
            return;

        double rate = _bytesSince / elapsed.TotalSeconds;
        _rate = _rate < 1 ? rate : rate + ((_rate - rate) * Math.Exp(-elapsed / Memory));
        (_since, _bytesSince) = (time.GetTimestamp(), 0);
    }
}
