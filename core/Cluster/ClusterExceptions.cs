using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;

namespace EdgeStream.Cluster;

/// <summary>A request that the cluster refuses, with the code that programs see. The message is for people.</summary>
public class ClusterException(ErrorCode code, string message) : EdgeStreamException(message)
{
    public ErrorCode Code { get; } = code;

    public static ClusterException TopicNotFound(string topic) =>
        new(ErrorCode.TopicNotFound, $"there is no topic '{topic}'; 'edgestream topic create {topic}' makes it");

    public static ClusterException PartitionNotFound(string topic, int partition, int count) =>
        new(ErrorCode.PartitionNotFound, $"topic '{topic}' has no partition {partition}, it has {count}");

    /// <summary>Why a partition is not served by the node that was asked for it.</summary>
    public static ClusterException NotHere(TopologyMap map, TopicInfo topic, int number)
    {
        if (topic.Partitions.FirstOrDefault(partition => partition.Number == number) is not { } partition)
            return PartitionNotFound(topic.Name, number, topic.Partitions.Length);

        if (partition.LeaderSpu == PartitionInfo.NoLeader)
            return NotLeader($"{topic.Name}/{number} is led by another process, which is registered as this SPU; ask an SC where");

        string at = map.Spus.FirstOrDefault(spu => spu.Id == partition.LeaderSpu) is { Endpoints: [var endpoint, ..] } ? $" at {endpoint}" : "";
        return NotLeader($"{topic.Name}/{number} is led by SPU {partition.LeaderSpu}{at}; ask there");
    }

    /// <summary>Who asks should look at the topology again.</summary>
    public static ClusterException NotLeader(string message) => new(ErrorCode.NotLeader, message);

    public static ClusterException GeoLocationNotFound(string name) =>
        new(ErrorCode.GeoLocationNotFound, $"there is no geo-location '{name}'; 'edgestream geo list' shows them");
}

/// <summary>
/// <see cref="ErrorCode.NotLeader"/>: somebody has led a partition with a leader epoch that is no lower than the one that this SPU was told.
/// </summary>
/// <param name="epoch">That one's.</param>
/// <param name="message">For people.</param>
public sealed class LaterEpochException(long epoch, string message) : ClusterException(ErrorCode.NotLeader, message)
{
    public long Epoch { get; } = epoch;
}
