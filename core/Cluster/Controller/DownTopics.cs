using System.Collections.Immutable;
using EdgeStream.Cluster.Topology;

namespace EdgeStream.Cluster.Controller;

/// <summary>Which partitions a topic that flows down has at a hub: one for each geo-location that it is for. Pure.</summary>
internal static class DownTopics
{
    /// <summary>The partitions of a new topic, to be placed.</summary>
    /// <param name="map">The topology, which names the geo-locations.</param>
    /// <param name="chosen">Those that it is for; empty for each that is not revoked.</param>
    /// <exception cref="ClusterException">One that was chosen is unknown or was revoked.</exception>
    public static ImmutableArray<PartitionInfo> Partitions(TopologyMap map, IReadOnlyCollection<string> chosen)
    {
        foreach (string name in chosen)
        {
            GeoLocationInfo geo = map.GeoLocations.GetValueOrDefault(name) ?? throw ClusterException.GeoLocationNotFound(name);
            if (geo.Revoked)
                throw new ClusterException(ErrorCode.InvalidArgument, $"geo-location '{name}' was revoked, so nothing flows down to it");
        }

        IEnumerable<string> names = chosen.Count > 0
            ? chosen.Distinct(StringComparer.Ordinal)
            : map.GeoLocations.Values.Where(geo => !geo.Revoked).Select(geo => geo.Name);
        return [.. names.Order(StringComparer.Ordinal).Select((name, number) => new PartitionInfo(number, PartitionInfo.NoLeader, name))];
    }

    /// <summary>The topics that are for everybody and have no partition for this geo-location yet, each with one.</summary>
    public static IReadOnlyList<TopicInfo> Extended(
        TopologyMap map, string geoLocation, Func<string, PartitionInfo, PartitionInfo> place) =>
    [
        .. map.Topics.Values
            .Where(topic => topic.Settings.Down == DownTo.Everybody && topic.PartitionOf(geoLocation) is null)
            .Select(topic => topic with
            {
                Partitions = topic.Partitions.Add(place(topic.Name, new PartitionInfo(topic.NextPartitionNumber, PartitionInfo.NoLeader, geoLocation))),
            }),
    ];
}
