using EdgeStream.Agent.Configuration;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Cli;

/// <summary>What a hub knows of a geo-location's link, for those who show it.</summary>
internal static class GeoLinks
{
    /// <summary>What of the edge's logs is not here yet, in bytes, as it last told. What flows down is not counted.</summary>
    public static long LagBytes(GeoLocation geo, IEnumerable<PartitionStatus> partitions) =>
        partitions.Where(status => status.Partition.GeoLocation == geo.Name && !status.Down).Sum(status => status.LagBytes);

    /// <summary>When all of that is here at the present rate; null where there is none, or it cannot be told.</summary>
    public static long? DrainedInSeconds(GeoLocation geo, long lagBytes) =>
        geo is { State: GeoLocationState.Online, BatchBytesPerSecond: > 0 } && lagBytes > 0
            ? (lagBytes + geo.BatchBytesPerSecond - 1) / geo.BatchBytesPerSecond
            : null;

    /// <summary>A refusal with its age, in one line; null where there is none.</summary>
    public static string? ToText(Refusal? refusal)
    {
        if (refusal is null)
            return null;

        var age = TimeSpan.FromSeconds(Math.Max(0, (DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() - refusal.At) / 1000));
        string from = refusal.Address.Length > 0 ? $" from {refusal.Address}" : "";
        return $"refused {Quantities.FormatTime(age)} ago{from} ({Plural.Of(refusal.Count, "time")}): {refusal.Reason}";
    }

    /// <summary>The geo-locations of a hub with their links, as <c>geo list</c> and <c>status</c> show them.</summary>
    public static TableOutput Table(IEnumerable<GeoLocation> geoLocations, IReadOnlyCollection<PartitionStatus> partitions)
    {
        var table = new TableOutput(
            "geo", "state", "topics", "records", "behind", "behind_bytes", "behind_ms", "drained_in_seconds", "batch_bytes", "wire_bytes", "lost",
            "problem", "link_error", "last_seen", "joined");
        ILookup<string, PartitionStatus> byGeo = partitions.ToLookup(status => status.Partition.GeoLocation);
        foreach (GeoLocation geo in geoLocations)
        {
            PartitionStatus[] mine = [.. byGeo[geo.Name]];
            table.Add(
                geo.Name,
                GeoCommands.StateOf(geo),
                mine.Length,
                mine.Sum(status => status.Durable - status.LogStart),
                mine.Sum(status => Math.Max(0, status.EdgeDurable - status.Durable)),
                mine.Sum(status => status.LagBytes),
                mine.Select(status => status.LagMs).DefaultIfEmpty().Max(),
                DrainedInSeconds(geo, LagBytes(geo, mine)),
                geo.BatchBytes,
                geo.WireBytes,
                mine.Sum(status => status.LostRecords),
                ProblemOf(geo, mine),
                geo.LinkError.Length > 0 ? geo.LinkError : null,
                GeoCommands.TimeOf(geo.LastSeen),
                GeoCommands.TimeOf(geo.JoinedAt));
        }

        return table;
    }

    private static string? ProblemOf(GeoLocation geo, IEnumerable<PartitionStatus> partitions)
    {
        string?[] problems = [ToText(geo.Refusal), partitions.Select(status => status.MirrorProblem).FirstOrDefault(problem => problem.Length > 0)];
        string all = string.Join("; ", problems.OfType<string>());
        return all.Length > 0 ? all : null;
    }
}
