using EdgeStream.Cluster.Spu;

namespace EdgeStream.Cluster.Topology;

/// <summary>
/// The cluster as one node sees it: its topology, and the partitions that are served here. Where SC and SPU are one process the SC is it;
/// an SPU by itself sees what its SC has told it last. Safe from any thread.
/// </summary>
public interface IClusterView
{
    /// <summary>The topology at this instant; the SPU here has applied it.</summary>
    TopologyMap Current { get; }

    /// <summary>Whether mirror topics are filled by geo-locations (a hub) or by local producers (an edge).</summary>
    bool IsHub { get; }

    /// <summary>Told the name of a topic that is gone, before another can be made of that name. Must not wait for the topology.</summary>
    event Func<string, Task>? TopicDeleted;

    /// <summary>Completes once <see cref="Current"/> is another than <paramref name="known"/>.</summary>
    Task WaitForChangeAsync(TopologyMap known, CancellationToken cancellationToken);

    /// <summary>How an SPU is, as far as it is known here.</summary>
    SpuStatus StatusOf(int spu);

    /// <summary>A partition that is served here.</summary>
    /// <exception cref="ClusterException">There is no such topic or partition, or another SPU leads it.</exception>
    Partition GetPartition(string topicName, int number);
}

/// <summary>At a hub: has the topology changed for what geo-locations bring, by whoever may change it.</summary>
public interface IMirrorPartitions
{
    /// <summary>
    /// Has a geo-location that has proved its name in the topology. It is not there where the metadata was lost or is older than the
    /// geo-location: no other way leads out of it, and who was shut out is told by the keys that were withdrawn.
    /// </summary>
    /// <exception cref="ClusterException">Nobody can be asked now, or there is no room for what flows down to it.</exception>
    /// <exception cref="IOException">It could not be written.</exception>
    Task EnsureGeoLocationAsync(string geoLocation);

    /// <summary>The partition that a geo-location's topic is copied to, made at the first call.</summary>
    /// <exception cref="ClusterException">The hub has a topic of that name that is no mirror topic, or nobody can be asked now.</exception>
    Task<PartitionId> EnsureMirrorPartitionAsync(string topicName, string geoLocation);
}
