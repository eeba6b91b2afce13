using System.CommandLine;
using EdgeStream.Agent.Configuration;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Cli;

/// <summary>What <c>geo show</c> prints: the geo-location, and each of its topics with the marks of the hub's copy.</summary>
internal static class GeoLocationDetails
{
    public static void Write(ParseResult result, GeoLocation geo, IReadOnlyList<PartitionStatus> partitions)
    {
        if (TableOutput.IsJson(result))
        {
            WriteJson(result, geo, partitions);
            return;
        }

        TextWriter output = result.InvocationConfiguration.Output;
        output.WriteLine($"geo-location: {geo.Name}, {GeoCommands.StateOf(geo)}");
        output.WriteLine($"joined: {Time(geo.JoinedAt, "never")}");
        output.WriteLine($"last seen: {Time(geo.LastSeen, "not since the hub started")}");
        output.WriteLine(geo.CertificateUntil > 0
            ? $"certificate: valid until {GeoCommands.TimeOf(geo.CertificateUntil):u}"
            : "certificate: none that this hub knows of");
        long lag = GeoLinks.LagBytes(geo, partitions);
        string drained = GeoLinks.DrainedInSeconds(geo, lag) is { } seconds ? $", here in {Quantities.FormatTime(TimeSpan.FromSeconds(seconds))}" : "";
        output.WriteLine($"behind: {Quantities.FormatBytes(lag)}{drained}");
        output.WriteLine(
            $"received: {Quantities.FormatBytes(geo.BatchBytes)} of batches in {Quantities.FormatBytes(geo.WireBytes)} of messages, "
            + $"{Quantities.FormatBytes(geo.BatchBytesPerSecond)}/s of late");
        if (geo.LinkError.Length > 0)
            output.WriteLine($"last link error: {geo.LinkError}");

        if (GeoLinks.ToText(geo.Refusal) is { } refusal)
            output.WriteLine($"! {refusal}");

        output.WriteLine();
        PartitionTable.Of(partitions).Write(result, "It has mirrored no topics yet.");
    }

    private static string Time(long milliseconds, string otherwise) => GeoCommands.TimeOf(milliseconds)?.ToString("u") ?? otherwise;

    /// <summary>A row a topic, each with the geo-location's own values; one row where there are no topics.</summary>
    private static void WriteJson(ParseResult result, GeoLocation geo, IReadOnlyList<PartitionStatus> partitions)
    {
        var table = new TableOutput(
            "geo", "state", "joined", "last_seen", "certificate_until", "topic", "partition", "start", "durable", "end", "behind", "lost",
            "bytes", "problem", "drained_in_seconds", "batch_bytes", "wire_bytes", "batch_bytes_per_second", "link_error", "refusal", "refused_at",
            "refused_from");
        long? drained = GeoLinks.DrainedInSeconds(geo, GeoLinks.LagBytes(geo, partitions));
        foreach (PartitionStatus? status in partitions.DefaultIfEmpty<PartitionStatus?>(null))
        {
            table.Add(
                geo.Name, GeoCommands.StateOf(geo), GeoCommands.TimeOf(geo.JoinedAt), GeoCommands.TimeOf(geo.LastSeen),
                GeoCommands.TimeOf(geo.CertificateUntil), status?.Partition.Topic, status?.Partition.Partition_, status?.LogStart,
                status?.Durable, status?.LogEnd, status is { EdgeDurable: >= 0 } ? Math.Max(0, status.EdgeDurable - status.Durable) : null,
                status?.LostRecords, status?.SizeBytes, status?.Problem.Length > 0 ? status.Problem : null,
                drained, geo.BatchBytes, geo.WireBytes, geo.BatchBytesPerSecond, geo.LinkError.Length > 0 ? geo.LinkError : null,
                geo.Refusal?.Reason, GeoCommands.TimeOf(geo.Refusal?.At ?? 0), geo.Refusal?.Address);
        }

        table.Write(result, "");
    }
}
