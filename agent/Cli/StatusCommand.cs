using System.CommandLine;
using System.Globalization;
using EdgeStream.Agent.Configuration;
using EdgeStream.Protocol.V1;
using Google.Protobuf.Collections;

namespace EdgeStream.Agent.Cli;

/// <summary><c>status</c>: one screen about one node.</summary>
internal static class StatusCommand
{
    private const long EnoughForRatio = 1024 * 1024;

    public static Command Create()
    {
        var command = new CliCommand("status", "Show how this node is", "edgestream status") { Options = { TableOutput.Format } };
        command.Does(async (result, _) =>
        {
            using var client = ConnectionOptions.OpenLocal(result);
            NodeStatus status = await client.CallAsync(c => c.Agent.GetStatusAsync(new GetStatusRequest()));
            if (TableOutput.IsJson(result))
                WriteJson(result, status);
            else
                WriteText(result, status);
        });
        return command;
    }

    private static void WriteText(ParseResult result, NodeStatus status)
    {
        TextWriter output = result.InvocationConfiguration.Output;
        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"edgestream {status.Version}, {status.Role}{(status.Standing.Length > 0 ? $" ({status.Standing})" : "")}, up {TimeSpan.FromSeconds(status.UptimeSeconds):d\\.hh\\:mm\\:ss}, data in {status.DataDirectory}"));
        output.WriteLine(status.Problems.Count == 0 ? "health: good" : "health: BAD");
        foreach (string problem in status.Problems)
            output.WriteLine($"  ! {problem}");

        if (status.Storage is { } storage)
            WriteStorage(output, storage);

        foreach (UplinkStatus uplink in status.Uplinks)
            WriteUplink(output, uplink);

        if (status is { Role: "edge", Uplinks.Count: 0 })
            output.WriteLine("uplink: none");

        WriteDevices(result, status.Sources, "source", "stored");
        WriteDevices(result, status.Sinks, "sink", "done");

        if (status.GeoLocations.Count > 0)
        {
            output.WriteLine();
            GeoLinks.Table(status.GeoLocations, status.Partitions).Write(result, "");
        }

        foreach (Refusal refusal in status.Refusals)
            output.WriteLine($"  ! a card of {(refusal.GeoLocation.Length > 0 ? $"'{refusal.GeoLocation}'" : "no geo-location of this hub")}: {GeoLinks.ToText(refusal)}");

        output.WriteLine();
        PartitionTable.Of(status.Partitions).Write(result, status.Role switch
        {
            "sc" => "Its SPUs have the partitions: 'edgestream topology' shows them.",
            "spu" => "It leads no partition.",
            _ => "There are no topics yet.",
        });
        foreach (string step in NextSteps.For(status))
            output.WriteLine($"next: {step}");
    }

    private static void WriteDevices(ParseResult result, RepeatedField<SourceStatus> devices, string kind, string stored)
    {
        if (devices.Count == 0)
            return;

        result.InvocationConfiguration.Output.WriteLine();
        var table = new TableOutput(kind, "state", "received", stored, "incomplete", "dropped", "dropped_for", "last_error");
        foreach (SourceStatus device in devices)
        {
            table.Add(
                device.Name, device.Extent.Length > 0 ? $"{device.State}, {device.Extent}" : device.State, device.Received, device.Stored,
                device.Incomplete, device.Dropped, DropsOf(device), LastErrorOf(device));
        }

        table.Write(result, "");
    }

    /// <summary>What is over must not look as if it were still so.</summary>
    private static string? LastErrorOf(SourceStatus device) => (device.Problem.Length, device.HasProblemAgeMs) switch
    {
        (0, _) => null,
        (_, false) => device.Problem,
        _ => $"{Quantities.FormatTime(TimeSpan.FromSeconds(device.ProblemAgeMs / 1000))} ago: {device.Problem}",
    };

    /// <summary>For programs: without words that a person would put together.</summary>
    private static TableOutput DevicesJson(RepeatedField<SourceStatus> devices, string kind, string stored)
    {
        var table = new TableOutput(kind, "state", "received", stored, "incomplete", "dropped", "dropped_for", "last_error", "last_error_age_ms", "extent");
        foreach (SourceStatus device in devices)
        {
            table.Add(
                device.Name, device.State, device.Received, device.Stored, device.Incomplete, device.Dropped, DropsOf(device),
                device.Problem.Length > 0 ? device.Problem : null, device.HasProblemAgeMs ? device.ProblemAgeMs : null,
                device.Extent.Length > 0 ? device.Extent : null);
        }

        return table;
    }

    private static string? DropsOf(SourceStatus device) => device.DroppedByReason.Count == 0
        ? null
        : string.Join(", ", device.DroppedByReason.Select(drops => $"{drops.Reason} {drops.Count}"));

    private static void WriteStorage(TextWriter output, StorageStatus storage)
    {
        string full = storage.FullInSeconds > 0 ? $", full in {Quantities.FormatTime(TimeSpan.FromSeconds(storage.FullInSeconds))}" : "";
        output.WriteLine(
            $"storage: {Quantities.FormatBytes(storage.UsedBytes)} of {Quantities.FormatBytes(storage.BudgetBytes)} used{full}; "
            + $"the disk has {Quantities.FormatBytes(storage.DiskFreeBytes)} free");
        // At first it is mostly what a start writes, which says nothing of the days after it.
        string ratio = storage.StoredBytes >= EnoughForRatio
            ? string.Create(CultureInfo.InvariantCulture, $", {(double)storage.WrittenBytes / storage.StoredBytes:0.00} for each byte stored")
            : "";
        string year = storage.WrittenBytesPerYear > 0
            ? $"; at this rate the disk sees {Quantities.FormatBytes(storage.WrittenBytesPerYear)} a year"
            : "";
        output.WriteLine($"written since the start: {Quantities.FormatBytes(storage.WrittenBytes)}{ratio}, {storage.Syncs} syncs{year}");
    }

    private static void WriteUplink(TextWriter output, UplinkStatus uplink)
    {
        string state = uplink.Connected ? "connected" : "offline (records are kept and sent later)";
        output.WriteLine(
            $"uplink: {state}, geo-location '{uplink.GeoLocation}' of {uplink.Hub}, certificate until {GeoCommands.TimeOf(uplink.CertificateUntil):yyyy-MM-dd}");
        output.WriteLine(uplink.LagRecords == 0 ? "  all is mirrored" : $"  behind: {LagOf(uplink)}");
        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"  sent: {Quantities.FormatBytes(uplink.SentBytes)} of batches, {Quantities.FormatBytes(uplink.WireSentBytes)} on the wire there, "
            + $"{Quantities.FormatBytes(uplink.WireReceivedBytes)} back, {uplink.Reconnects} reconnects{LinkOf(uplink)}"));
        if (uplink.Waiting.Length > 0)
            output.WriteLine($"  data waits: {uplink.Waiting}");

        if (uplink.LastError.Length > 0)
            output.WriteLine($"  last error: {uplink.LastError}");
    }

    private static string LagOf(UplinkStatus uplink)
    {
        string oldest = uplink.LagMs > 0 ? $", the oldest {Quantities.FormatTime(TimeSpan.FromMilliseconds(uplink.LagMs))} old" : "";
        string drained = uplink.DrainedInSeconds > 0 ? $", done in {Quantities.FormatTime(TimeSpan.FromSeconds(uplink.DrainedInSeconds))}" : "";
        return $"{uplink.LagRecords} records, {Quantities.FormatBytes(uplink.LagBytes)}{oldest}{drained}";
    }

    private static string LinkOf(UplinkStatus uplink) => uplink.LinkBytesPerSecond > 0
        ? $"; the link takes {Quantities.FormatBytes(uplink.LinkBytesPerSecond)}/s, round trip {uplink.RoundTripMs} ms"
        : "";

    /// <summary>A row for each hub that an edge has joined; one row where there is none.</summary>
    private static void WriteJson(ParseResult result, NodeStatus status)
    {
        var table = new TableOutput(
            "role", "version", "uptime_seconds", "healthy", "problems", "hub", "geo", "connected", "lag_records", "sent_bytes", "reconnects",
            "last_error", "budget_bytes", "used_bytes", "disk_free_bytes", "written_bytes", "stored_bytes", "syncs", "full_in_seconds",
            "written_bytes_per_year", "certificate_until", "lag_bytes", "lag_ms", "drained_in_seconds", "wire_sent_bytes",
            "wire_received_bytes", "link_bytes_per_second", "round_trip_ms", "waiting",
            "sources", "sinks", "geo_locations");
        StorageStatus storage = status.Storage;
        foreach (UplinkStatus? uplink in status.Uplinks.DefaultIfEmpty<UplinkStatus?>(null))
        {
            table.Add(
                status.Role, status.Version, status.UptimeSeconds, status.Problems.Count == 0, string.Join("; ", status.Problems),
                uplink?.Hub, uplink?.GeoLocation, uplink?.Connected, uplink?.LagRecords, uplink?.SentBytes, uplink?.Reconnects,
                uplink?.LastError, storage.BudgetBytes, storage.UsedBytes, storage.DiskFreeBytes, storage.WrittenBytes, storage.StoredBytes,
                storage.Syncs, storage.FullInSeconds, storage.WrittenBytesPerYear, GeoCommands.TimeOf(uplink?.CertificateUntil ?? 0),
                uplink?.LagBytes, uplink?.LagMs, uplink?.DrainedInSeconds, uplink?.WireSentBytes, uplink?.WireReceivedBytes,
                uplink?.LinkBytesPerSecond, uplink?.RoundTripMs, uplink?.Waiting,
                DevicesJson(status.Sources, "source", "stored"), DevicesJson(status.Sinks, "sink", "done"),
                GeoLinks.Table(status.GeoLocations, status.Partitions));
        }

        table.Write(result, "");
    }
}
