using EdgeStream.Storage.Time;

namespace EdgeStream.Cluster.Engines.JetStream;

/// <summary>
/// What a clock has noted, in memory: it is written to the bucket now and then, as it costs corrections only if that comes too late.
/// </summary>
internal sealed class AnchorMemory(ReadOnlyMemory<byte> known) : IAnchorStore
{
    private int _changes;

    public int Count { get; private set; }

    /// <summary>Grows with each change.</summary>
    public int Changes => Volatile.Read(ref _changes);

    public IReadOnlyList<ClockAnchor> Load()
    {
        ClockAnchor[] anchors = ClockHistory.Decode(known.Span).Anchors.ToArray();
        Count = anchors.Length;
        return anchors;
    }

    public void Append(ClockAnchor anchor)
    {
        Count++;
        Interlocked.Increment(ref _changes);
    }

    public void Replace(IReadOnlyList<ClockAnchor> anchors)
    {
        Count = anchors.Count;
        Interlocked.Increment(ref _changes);
    }
}
