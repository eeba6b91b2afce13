using EdgeStream.Protocol.V1;

namespace EdgeStream.Client;

/// <summary>Who leads a partition, as of one topology.</summary>
/// <param name="Node">Where it is asked.</param>
/// <param name="Spu">Its number.</param>
/// <param name="Topic">The partition's topic.</param>
/// <param name="Topology">What says so.</param>
internal sealed record Leader(NodeClient Node, int Spu, Topic Topic, Topology Topology)
{
    /// <summary>Where SC and SPU are one process, nobody else can lead.</summary>
    public bool CanMove => !IsOneProcess(Topology);

    public bool IsSameAs(Leader other) => Spu == other.Spu && Node == other.Node;

    /// <summary>Whether a topology is that of an edge, or of a hub without other machines: the SPU is where the SC is.</summary>
    public static bool IsOneProcess(Topology topology) => topology.Spus is [{ Endpoints.Count: 0 }];

    /// <summary>
    /// Whether another try, at another SPU perhaps, may cure what has ended a stream. In a cluster that may be a log that another SPU writes
    /// by now, or an SPU that was not told of a topic yet; that there is none, the topology says then.
    /// </summary>
    public bool IsPassing(ErrorCode code) => code is ErrorCode.Unavailable or ErrorCode.NotLeader
        || (CanMove && code is ErrorCode.StorageFailed or ErrorCode.TopicNotFound or ErrorCode.PartitionNotFound);
}
