using EdgeStream.Cluster;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;

namespace EdgeStream.ClusterTesting;

/// <summary>What a server knows of its cluster that is a part of a node only: nothing, for good.</summary>
public sealed class UnknownCluster : IClusterView
{
    public event Func<string, Task>? TopicDeleted
    {
        add { }
        remove { }
    }

    public TopologyMap Current => TopologyMap.Unknown;

    public bool IsHub => true;

    public Task WaitForChangeAsync(TopologyMap known, CancellationToken cancellationToken) => Task.Delay(Timeout.Infinite, cancellationToken);

    public SpuStatus StatusOf(int spu) => new(Online: false);

    public Partition GetPartition(string topicName, int number) => throw ClusterException.TopicNotFound(topicName);
}
