using System.Collections.Immutable;
using EdgeStream.Cluster.Topology;

namespace EdgeStream.Cluster.Spu;

/// <summary>
/// The cluster as an SPU by itself sees it: what its SC has told it last, and stays so while there is no SC. Safe from any thread but for
/// <see cref="ApplyAsync"/>, which is for one caller at a time.
/// </summary>
public sealed class SpuView(LocalSpu node) : IClusterView
{
    private readonly WatchedTopology _topology = new(TopologyMap.Unknown);
    private volatile ImmutableDictionary<int, SpuStatus> _statuses = ImmutableDictionary<int, SpuStatus>.Empty;

    /// <summary>That the SPU serves; of an empty cluster before the SC has told the first.</summary>
    public TopologyMap Current => _topology.Current;

    /// <summary>Always: edges are clusters of one process.</summary>
    public bool IsHub => true;

    /// <inheritdoc cref="LocalSpu.Overtaken"/>
    public IReadOnlyList<OvertakenPartition> Overtaken => node.Overtaken;

    /// <inheritdoc/>
    public event Func<string, Task>? TopicDeleted;

    /// <inheritdoc/>
    public Task WaitForChangeAsync(TopologyMap known, CancellationToken cancellationToken) => _topology.WaitForChangeAsync(known, cancellationToken);

    /// <inheritdoc/>
    public Partition GetPartition(string topicName, int number)
    {
        TopologyMap map = Current;
        if (map.ClusterId.Length == 0)
            throw NotTold();

        TopicInfo topic = map.Topics.GetValueOrDefault(Names.CheckTopic(topicName)) ?? throw ClusterException.TopicNotFound(topicName);
        return node.Find(new PartitionId(topicName, number)) ?? throw ClusterException.NotHere(map, topic, number);
    }

    /// <summary>As the SC has told last.</summary>
    public SpuStatus StatusOf(int spu) => _statuses.GetValueOrDefault(spu) ?? new SpuStatus(Online: false);

    /// <summary>Takes note of how the SPUs are.</summary>
    public void Note(IEnumerable<KeyValuePair<int, SpuStatus>> statuses) => _statuses = statuses.ToImmutableDictionary();

    /// <summary>Has the SPU serve a topology; on return it does, but for what cannot be opened now.</summary>
    /// <exception cref="Storage.EdgeStreamException">It belongs to another cluster than this SPU's data.</exception>
    public async Task ApplyAsync(TopologyMap topology)
    {
        TopologyMap before = Current;
        if (before.ClusterId.Length == 0)
            await node.StartAsync(topology).ConfigureAwait(false);
        else
            await node.ApplyAsync(topology).ConfigureAwait(false);

        foreach (string gone in before.Topics.Keys.Where(name => !topology.Topics.ContainsKey(name)))
            await ForgetAsync(gone).ConfigureAwait(false);

        _topology.Publish(topology);
    }

    /// <summary>
    /// Has the SPU serve nothing until it is told a topology again: another process is registered in its place. It answers as one that was not
    /// told yet, so whoever asks it what there is asks others. What it has of topics stays.
    /// </summary>
    /// <returns>False where it serves nothing anyway.</returns>
    public async Task<bool> LetGoAsync()
    {
        TopologyMap map = Current;
        if (!map.IsTold)
            return false;

        await ApplyAsync(map with
        {
            Spus = [],
            Topics = map.Topics.ToImmutableSortedDictionary(topic => topic.Key, topic => WithoutMine(topic.Value), StringComparer.Ordinal),
        }).ConfigureAwait(false);
        return true;
    }

    /// <summary>What the SC has not told.</summary>
    public static ClusterException NotTold() => new(ErrorCode.Unavailable, "no SC has told this SPU yet what there is, or another process is registered in its place; try again");

    private TopicInfo WithoutMine(TopicInfo topic) => topic with
    {
        Partitions = [.. topic.Partitions.Select(partition => partition.LeaderSpu == node.Id ? partition with { LeaderSpu = PartitionInfo.NoLeader } : partition)],
    };

    private async Task ForgetAsync(string topic)
    {
        try
        {
            if (TopicDeleted is { } deleted)
                await deleted(topic).ConfigureAwait(false);
        }
        catch (Storage.EdgeStreamException)
        {
            // The SC deletes what is stored of it as well, and the topology must not wait.
        }
    }

    /// <summary>Wakes who watches the topology, though nothing in it is another: a partition was opened that could not be.</summary>
    public Task TouchAsync()
    {
        _topology.Touch();
        return Task.CompletedTask;
    }
}
