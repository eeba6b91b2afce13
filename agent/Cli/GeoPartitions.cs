using EdgeStream.Client;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Cli;

/// <summary>Finds the partitions of geo-locations, which people know by name, at a hub.</summary>
internal static class GeoPartitions
{
    /// <param name="client">The hub.</param>
    /// <param name="topicName">The topic.</param>
    /// <param name="names">The geo-locations.</param>
    /// <param name="all">All that the topic has a partition for, instead.</param>
    /// <exception cref="CommandException">There is no such topic or partition.</exception>
    public static async Task<IReadOnlyList<int>> FindAsync(EdgeStreamClient client, string topicName, IReadOnlyList<string> names, bool all)
    {
        Topology topology = await client.CallAsync(c => c.ControlPlane.GetTopologyAsync(new GetTopologyRequest()));
        Topic topic = topology.Topics.FirstOrDefault(topic => topic.Name == topicName)
            ?? throw new CommandException($"there is no topic '{topicName}'");
        if (!all)
            return [.. names.Distinct().Select(name => PartitionOf(topic, name))];

        int[] every = [.. topic.Partitions.Where(partition => partition.GeoLocation.Length > 0).Select(partition => partition.Partition_)];
        return every.Length > 0 ? every : throw new CommandException($"topic '{topicName}' has no partition for any geo-location");
    }

    private static int PartitionOf(Topic topic, string geo) =>
        topic.Partitions.FirstOrDefault(partition => partition.GeoLocation == geo)?.Partition_
            ?? throw new CommandException(topic.Settings.Down
                ? $"topic '{topic.Name}' does not flow down to geo-location '{geo}'; 'edgestream topology' shows to whom it does"
                : $"geo-location '{geo}' has mirrored nothing of '{topic.Name}' yet; 'edgestream topology' shows who has");
}
