using System.Globalization;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Cli;

/// <summary>Partitions with their marks, as several commands show them.</summary>
internal static class PartitionTable
{
    /// <param name="partitions">The partitions.</param>
    /// <param name="isJson">Programs get the replicas one by one, and an empty list where there are none.</param>
    public static TableOutput Of(IReadOnlyCollection<PartitionStatus> partitions, bool isJson = false)
    {
        bool hasReplicas = isJson || partitions.Any(status => status.Replicas.Count > 0);
        var table = new TableOutput(
        [
            "topic", "partition", "geo", "leader", "start", "mirrored", "durable", "end", "behind", "lost", "bytes",
            .. hasReplicas ? ["replicas"] : (string[])[],
            "problem",
        ]);
        foreach (PartitionStatus status in partitions)
        {
            Partition partition = status.Partition;
            table.Add(
            [
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
                .. hasReplicas ? [isJson ? ToRows(status.Replicas) : ToText(status.Replicas)] : (object?[])[],
                status.Problem.Length > 0 ? status.Problem : status.MirrorProblem.Length > 0 ? status.MirrorProblem : null,
            ]);
        }

        return table;
    }

    /// <summary>For instance <c>n1* n2 n3(-12)</c>: n1 leads, n3 is 12 operations behind. One that is not there is <c>n3(away)</c>.</summary>
    internal static string? ToText(IReadOnlyCollection<ReplicaStatus> replicas) => replicas.Count == 0
        ? null
        : string.Join(' ', replicas.Select(replica => replica.Server + (replica switch
        {
            { Leader: true } => "*",
            { Lag: > 0 } => string.Create(CultureInfo.InvariantCulture, $"(-{replica.Lag})"),
            { Current: false } => "(away)",
            _ => "",
        })));

    private static TableOutput ToRows(IEnumerable<ReplicaStatus> replicas)
    {
        var table = new TableOutput("server", "leader", "current", "lag", "active_ms");
        foreach (ReplicaStatus replica in replicas)
            table.Add(replica.Server, replica.Leader, replica.Current, replica.Lag, replica.ActiveMs);

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
