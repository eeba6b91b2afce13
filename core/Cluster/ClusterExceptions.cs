using EdgeStream.Storage;

namespace EdgeStream.Cluster;

/// <summary>A request that the cluster refuses, with the code that programs see. The message is for people.</summary>
public sealed class ClusterException(ErrorCode code, string message) : EdgeStreamException(message)
{
    public ErrorCode Code { get; } = code;

    public static ClusterException TopicNotFound(string topic) =>
        new(ErrorCode.TopicNotFound, $"there is no topic '{topic}'; 'edgestream topic create {topic}' makes it");

    public static ClusterException PartitionNotFound(string topic, int partition, int count) =>
        new(ErrorCode.PartitionNotFound, $"topic '{topic}' has no partition {partition}, it has {count}");

    public static ClusterException GeoLocationNotFound(string name) =>
        new(ErrorCode.GeoLocationNotFound, $"there is no geo-location '{name}'; 'edgestream geo list' shows them");
}
