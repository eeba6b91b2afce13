namespace EdgeStream.Cluster.Spu;

/// <summary>How far an edge's log is, as the edge last told its hub.</summary>
/// <param name="Durable">Its durable end; -1 where unknown.</param>
/// <param name="LagBytes">Bytes of batches that are not mirrored yet.</param>
/// <param name="LagMs">How old the oldest of them is, in ms.</param>
public sealed record EdgeProgress(long Durable, long LagBytes = 0, long LagMs = 0)
{
    public static EdgeProgress Unknown { get; } = new(-1);
}
