using System.Collections.Immutable;
using EdgeStream.Cluster.Engines;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;

namespace EdgeStream.Cluster.Controller;

/// <summary>
/// The SPUs that an SC gives partitions to: the one in its own process, or those that have registered with it. What finds and checks is safe
/// from any thread, for the rest there is one caller at a time.
/// </summary>
public interface ISpus
{
    /// <summary>How many replicas a topic has that does not say.</summary>
    int DefaultReplicas { get; }

    /// <inheritdoc cref="IPartitionEngine.CheckReplicasAsync"/>
    ValueTask CheckReplicasAsync(int replicas);

    /// <inheritdoc cref="IPartitionEngine.HasReplicasAsync"/>
    ValueTask<bool> HasReplicasAsync(PartitionId partition, int replicas, CancellationToken cancellationToken);

    /// <inheritdoc cref="IPartitionEngine.CheckSync"/>
    void CheckSync(SyncPolicy sync);

    /// <exception cref="ClusterException">There is no room for so many more partitions.</exception>
    void CheckRoomFor(int partitions);

    /// <summary>A partition of an SPU in this process; null for those of others.</summary>
    Partition? Find(PartitionId partition);

    /// <summary>What is stored of a partition, whichever SPU leads it; null where nothing is, or that cannot be told.</summary>
    /// <exception cref="EdgeStreamException">Who knows it cannot be asked now.</exception>
    ValueTask<StoredLog?> FindStoredAsync(PartitionId partition);

    /// <summary>Chooses who leads new partitions. A leader that they name already is a wish: the SPU that asked for them.</summary>
    /// <exception cref="ClusterException">There is no SPU.</exception>
    IEnumerable<PartitionInfo> Place(TopologyMap map, string topic, IEnumerable<PartitionInfo> partitions);

    /// <summary>A smaller bound must not drop at once what is stored: that would be a slip of the finger.</summary>
    /// <exception cref="ClusterException">A partition is known to hold more than the settings allow.</exception>
    ValueTask CheckHoldsAsync(TopicInfo topic, TopicSettings settings);

    /// <summary>How an SPU is.</summary>
    SpuStatus StatusOf(int id);

    /// <summary>Serves the topology that was stored. Called once, before anything else.</summary>
    Task StartAsync(TopologyMap topology);

    /// <summary>Has the SPUs serve a changed topology. One in this process does on return, others as soon as they can.</summary>
    Task ApplyAsync(TopologyMap topology);

    /// <summary>
    /// Completes when all SPUs that are there and have NATS serve the newest topology, or have had a few seconds for it. Safe beside the other calls.
    /// </summary>
    Task SettleAsync();

    /// <summary>Deletes a topic's records where that can fail for others' reasons. SPUs that are elsewhere must not have it open.</summary>
    /// <exception cref="EdgeStreamException">They cannot be deleted now; some may be gone, and it may be tried again.</exception>
    Task DeleteStoredAsync(TopicInfo topic);

    /// <summary>Puts another log in the place of a partition's, at an edge; see <see cref="LocalSpu.ReplaceLogAsync"/>.</summary>
    /// <exception cref="EdgeStreamException">It cannot be done; the old one stays.</exception>
    Task ReplaceLogAsync(TopicInfo topic, PartitionInfo info, long firstOffset, long carryFrom);
}
