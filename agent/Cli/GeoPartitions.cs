using EdgeStream.Client;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Cli;

/// <summary>Finds the partitions of geo-locations, which people know by name, at a hub.</summary>
internal static class GeoPartitions
{
    /// <summary>The partition of one geo-location.</summary>
    /// <exception cref="CommandException">There is no such topic or partition.</exception>
    public static async Task<int> FindAsync(EdgeStreamClient client, string topicName, string geo) =>
        PartitionOf(await FindTopicAsync(client, topicName), geo);

    /// <summary>
    /// Where to produce: to the geo-locations that are named, or to all, or else to the partition that is. Null for any partition, as the keys
    /// of the records say.
    /// </summary>
    /// <exception cref="CommandException">
    /// There is no such topic or partition; or nothing says to whom, and no command is to go to whoever has the first one.
    /// </exception>
    public static async Task<IReadOnlyList<int>?> ChooseAsync(
        EdgeStreamClient client, string topicName, IReadOnlyList<string> names, bool all, int? partition)
    {
        Topic topic = await FindTopicAsync(client, topicName);
        if (names.Count > 0)
            return [.. names.Distinct().Select(name => PartitionOf(topic, name))];

        int[] every = [.. topic.Partitions.Where(one => one.GeoLocation.Length > 0).Select(one => one.Partition_)];
        if (all)
            return every.Length > 0 ? every : throw new CommandException($"topic '{topicName}' has no partition for any geo-location");

        if (partition is { } number)
            return [number];

        if (topic.Settings.Down && every.Length > 0)
            throw new CommandException($"topic '{topicName}' flows down to geo-locations; --geo NAME says to which, --all-geos to each");

        return HasSeveral(topic) ? null : [0];
    }

    /// <summary>Whether a topic has partitions of which none is a geo-location's own: who names none means all of them.</summary>
    public static bool HasSeveral(Topic topic) => topic.Partitions.Count > 1 && PartitionedProducer.IsFor(topic);

    /// <exception cref="CommandException">There is no such topic.</exception>
    public static async Task<Topic> FindTopicAsync(EdgeStreamClient client, string name)
    {
        Topology topology = await client.GetTopologyAsync();
        return topology.Topics.FirstOrDefault(topic => topic.Name == name)
            ?? throw new CommandException($"there is no topic '{name}'; 'edgestream topic create {name}' makes it");
    }

    private static int PartitionOf(Topic topic, string geo) =>
        topic.Partitions.FirstOrDefault(partition => partition.GeoLocation == geo)?.Partition_
            ?? throw new CommandException(topic.Settings.Down
                ? $"topic '{topic.Name}' does not flow down to geo-location '{geo}'; 'edgestream topology' shows to whom it does"
                : $"geo-location '{geo}' has mirrored nothing of '{topic.Name}' yet; 'edgestream topology' shows who has");
}
