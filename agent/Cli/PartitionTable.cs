using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Cli;

/// <summary>Partitions with their marks, as several commands show them.</summary>
internal static class PartitionTable
{
    public static TableOutput Of(IEnumerable<PartitionStatus> partitions)
    {
        var table = new TableOutput("topic", "partition", "geo", "leader", "start", "mirrored", "durable", "end", "behind", "lost", "bytes", "problem");
        foreach (PartitionStatus status in partitions)
        {
            Partition partition = status.Partition;
            table.Add(
                partition.Topic,
                partition.Partition_,
                partition.GeoLocation.Length > 0 ? partition.GeoLocation : null,
                partition.LeaderSpu,
                status.LogStart,
                partition.GeoLocation.Length > 0 && !status.Down ? null : status.Mirrored,
                status.Durable,
                status.LogEnd,
                BehindOf(status),
                status.LostRecords,
                status.SizeBytes,
                status.Problem.Length > 0 ? status.Problem : status.MirrorProblem.Length > 0 ? status.MirrorProblem : null);
        }

        return table;
    }

    /// <summary>How many records the copy is behind; null where that is not known here.</summary>
    private static long? BehindOf(PartitionStatus status)
    {
        if (status.Down)
            return status.Durable - status.Mirrored;

        return status.EdgeDurable >= 0 ? Math.Max(0, status.EdgeDurable - status.Durable) : null;
    }
}
