using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;

namespace EdgeStream.Cluster.Engines;

/// <summary>
/// Where an SPU's partitions are stored, and how they get there. Opening, finding and checking may go on several times at once, for the rest
/// there is one caller at a time.
/// </summary>
public interface IPartitionEngine : IAsyncDisposable
{
    /// <summary>
    /// How soon a partition that could not be opened is worth another try, or one that has failed where
    /// <see cref="ReopensFailed"/>; those that follow may come later.
    /// </summary>
    TimeSpan RetryAfter { get; }

    /// <summary>
    /// Whether a log that has failed may be opened anew while the node runs. Not where it is unknown what became of the records: there
    /// only a restart helps.
    /// </summary>
    bool ReopensFailed { get; }

    /// <summary>What keeps all partitions from being used, in one line; null while nothing does.</summary>
    string? Problem { get; }

    /// <summary>Called once, before the first partition is opened. That the store cannot be reached is no failure here.</summary>
    /// <exception cref="EdgeStreamException">The data directory belongs to another engine, or cannot be used.</exception>
    ValueTask StartAsync(TopologyMap topology);

    /// <summary>Opens a partition's log, made at the first time.</summary>
    /// <exception cref="LaterEpochException">Somebody was told to lead it with a higher <see cref="PartitionInfo.LeaderEpoch"/>.</exception>
    /// <exception cref="EdgeStreamException">It cannot be opened now; nothing was changed, and it may be tried again.</exception>
    /// <exception cref="IOException">The same, of the disk.</exception>
    ValueTask<IPartitionLog> OpenAsync(PartitionId id, TopicInfo topic, PartitionInfo info);

    /// <summary>Lets go of a log and disposes it.</summary>
    ValueTask CloseAsync(IPartitionLog log);

    /// <summary>Whether <see cref="DeleteStoredAsync"/> does anything.</summary>
    bool DeletesStored { get; }

    /// <summary>
    /// Deletes what is stored of a topic, where that can fail for others' reasons: so a topic of that name never finds its records. Its logs
    /// are closed, and nobody opens them.
    /// </summary>
    /// <exception cref="EdgeStreamException">The store cannot be reached; some may be gone, and it may be tried again.</exception>
    ValueTask DeleteStoredAsync(TopicInfo topic);

    /// <summary>Deletes what is left of a topic that is gone. Its logs are closed.</summary>
    void Delete(string topic);

    /// <summary>Puts another log in the place of a partition's, at an edge; see <see cref="Spu.LocalSpu.ReplaceLogAsync"/>. It is closed.</summary>
    ValueTask ReplaceAsync(PartitionId id, TopicInfo topic, PartitionInfo info, long firstOffset, long carryFrom);

    /// <param name="partitions">How many are wanted.</param>
    /// <param name="present">How many there are.</param>
    /// <exception cref="ClusterException">There is no room for so many more partitions.</exception>
    void CheckRoomFor(int partitions, int present);

    /// <summary>How many replicas a topic has that does not say.</summary>
    int DefaultReplicas { get; }

    /// <summary>Finds out, as far as that can be told now, whether so many replicas can be had; changes nothing.</summary>
    /// <exception cref="ClusterException">They cannot.</exception>
    ValueTask CheckReplicasAsync(int replicas);

    /// <summary>Whether a partition is stored at so many places, all of it at each; false where that cannot be told.</summary>
    ValueTask<bool> HasReplicasAsync(PartitionId id, int replicas, CancellationToken cancellationToken);

    /// <summary>Whether a topic can say when its records are synced; changes nothing.</summary>
    /// <exception cref="ClusterException">It cannot say so here.</exception>
    void CheckSync(SyncPolicy sync);

    /// <summary>What is stored of a partition, whichever SPU leads it, without its being opened; null where nothing is, or that cannot be told.</summary>
    /// <exception cref="EdgeStreamException">Who knows it cannot be asked now.</exception>
    ValueTask<StoredLog?> FindStoredAsync(PartitionId id);

    /// <summary>The name of the server that takes a partition's records first; null where it has none, or that cannot be told.</summary>
    /// <exception cref="EdgeStreamException">Who knows it cannot be asked now.</exception>
    ValueTask<string?> FindStreamLeaderAsync(PartitionId id, CancellationToken cancellationToken);

    /// <summary>Has an open log stored at so many places from now on; its records stay, and others are taken meanwhile.</summary>
    /// <exception cref="EdgeStreamException">That cannot be done now; it stays as it was.</exception>
    ValueTask ChangeReplicasAsync(IPartitionLog log, int replicas);

    /// <summary>Frees what is too old or too much. Blocks on the disk; called now and then.</summary>
    void Clean();
}
