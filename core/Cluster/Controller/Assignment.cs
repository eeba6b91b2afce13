using EdgeStream.Cluster.Topology;

namespace EdgeStream.Cluster.Controller;

/// <summary>Which SPU leads each partition of a new topic, where somebody has chosen.</summary>
internal static class Assignment
{
    /// <summary>How many partitions the topic gets: as many as were assigned, or else as many as were asked for.</summary>
    /// <param name="map">The topology, which names the SPUs.</param>
    /// <param name="assigned">The SPU of each partition, by number; empty where nobody has chosen.</param>
    /// <param name="partitions">How many were asked for; 0 stands for as many as it is otherwise.</param>
    /// <param name="settings">The topic's.</param>
    /// <exception cref="ClusterException">It cannot be so.</exception>
    public static int CheckCount(TopologyMap map, IReadOnlyList<int> assigned, int partitions, TopicSettings settings)
    {
        if (assigned.Count == 0)
            return partitions;

        if (settings.Mirror || settings.IsDown)
        {
            throw new ClusterException(
                ErrorCode.InvalidArgument, "partitions of geo-locations are led where their links end, and cannot be assigned; leave --assign out");
        }

        if (partitions != 0 && partitions != assigned.Count)
        {
            throw new ClusterException(
                ErrorCode.InvalidArgument, $"{assigned.Count} partitions are assigned and {partitions} asked for; leave --partitions out");
        }

        for (int number = 0; number < assigned.Count; number++)
        {
            if (map.Spus.All(spu => spu.Id != assigned[number]))
            {
                throw new ClusterException(
                    ErrorCode.InvalidArgument,
                    $"partition {number} is assigned to SPU {assigned[number]}, which the cluster does not know; it has {string.Join(", ", map.Spus.Select(spu => spu.Id).Order())}");
            }
        }

        return assigned.Count;
    }

    /// <summary>The SPU that a partition is pinned to; null for any.</summary>
    public static int? PinnedOf(IReadOnlyList<int> assigned, int number) => number < assigned.Count ? assigned[number] : null;
}
