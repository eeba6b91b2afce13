namespace EdgeStream.Cluster.Metadata.JetStream;

/// <summary>
/// This SC can write the topology no more, for good: another has taken it over, or it cannot be told what became of the last write. It has
/// to step down, and to load all of it anew before it is active again.
/// </summary>
public sealed class TopologySupersededException(string problem)
    : ClusterException(ErrorCode.Unavailable, $"this SC is not the active one any more: {problem}; try again, another will answer");
