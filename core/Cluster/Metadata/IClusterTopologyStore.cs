using EdgeStream.Cluster.Topology;

namespace EdgeStream.Cluster.Metadata;

/// <summary>What the SC of a cluster of several SPUs writes: which SPUs there are, and what is left of topics, besides what every SC does.</summary>
public interface IClusterTopologyStore : ITopologyStore
{
    /// <summary>
    /// Higher than any leader epoch that a partition of this cluster has had, those of deleted topics included, as long as an epoch is
    /// raised by one, and no more often than something is written, or to this.
    /// </summary>
    long NextEpoch { get; }

    /// <summary>Has <see cref="NextEpoch"/> be higher than an epoch that was found and that this store does not know of, from now on.</summary>
    Task RaiseNextEpochAsync(long found);

    /// <summary>
    /// Of the SC that writes: greater than that of any before, as far as what those have written is there. Where the last of it was lost,
    /// as with a NATS server's power, SPUs may know a greater one: <see cref="RaiseTermAsync"/>.
    /// </summary>
    long Term { get; }

    /// <summary>Has a <see cref="Term"/> above one that somebody knows, where it has not.</summary>
    Task RaiseTermAsync(long above);

    /// <summary>Topics that are deleted, and of which something may be stored still. <see cref="ITopologyStore.LoadTopics"/> has none of them.</summary>
    IReadOnlyList<TopicInfo> LoadDeletedTopics();

    /// <summary>Puts a topic among those that are deleted, until <see cref="ITopologyStore.DeleteTopicAsync"/> forgets it.</summary>
    Task SaveDeletedTopicAsync(TopicInfo topic);

    IReadOnlyList<SpuInfo> LoadSpus();

    Task SaveSpuAsync(SpuInfo spu);

    Task DeleteSpuAsync(int id);
}
