using EdgeStream.Cluster.Topology;

namespace EdgeStream.Cluster.Grpc;

/// <summary>
/// How many streams readers and members of groups have open at a node: each may keep a batch in memory for as long as nobody reads it. Safe
/// from any thread.
/// </summary>
/// <param name="most">That there may be at once.</param>
public sealed class ReaderStreams(int most)
{
    /// <summary>A mirror topic of 5,000 geo-locations can be read by two at once, a stream for each partition.</summary>
    public const int MostInDataCenter = 10_000;

    /// <summary>
    /// With 256 KiB each, which <see cref="DataPlaneService"/> reads at once where nobody asks for more, a quarter of the memory that an edge's
    /// systemd unit lets it have (<c>MemoryMax</c>).
    /// </summary>
    public const int MostAtEdge = 256;

    private int _open;

    /// <summary>Counts one, until what is returned is disposed of.</summary>
    /// <exception cref="ClusterException"><see cref="ErrorCode.TooManyStreams"/>: there are as many as there may be.</exception>
    public IDisposable Open()
    {
        if (Interlocked.Increment(ref _open) <= most)
            return new OpenStream(this);

        Interlocked.Decrement(ref _open);
        throw new ClusterException(
            ErrorCode.TooManyStreams, $"{most} streams are read here already, which is the most; end some of the readers, or read fewer partitions at once");
    }

    private sealed class OpenStream(ReaderStreams all) : IDisposable
    {
        public void Dispose() => Interlocked.Decrement(ref all._open);
    }
}
