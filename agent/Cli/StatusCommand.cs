using System.CommandLine;
using System.Globalization;
using EdgeStream.Agent.Configuration;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Cli;

/// <summary><c>status</c>: one screen about one node.</summary>
internal static class StatusCommand
{
    public static Command Create()
    {
        var command = new CliCommand("status", "Show how this node is", "edgestream status") { Options = { TableOutput.Format } };
        command.Does(async (result, _) =>
        {
            using var client = ConnectionOptions.Open(result);
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
            $"edgestream {status.Version}, {status.Role}, up {TimeSpan.FromSeconds(status.UptimeSeconds):d\\.hh\\:mm\\:ss}, data in {status.DataDirectory}"));
        output.WriteLine(status.Problems.Count == 0 ? "health: good" : "health: BAD");
        foreach (string problem in status.Problems)
            output.WriteLine($"  ! {problem}");

        if (status.Uplink is { } uplink)
            WriteUplink(output, uplink);
        else if (status.Role == "edge")
            output.WriteLine("uplink: none; 'edgestream join HUB --token TOKEN' joins a hub");

        if (status.Sources.Count > 0)
        {
            output.WriteLine();
            var sources = new TableOutput("source", "state", "received", "stored", "dropped", "last_error");
            foreach (SourceStatus source in status.Sources)
                sources.Add(source.Name, source.State, source.Received, source.Stored, source.Dropped, source.Problem.Length > 0 ? source.Problem : null);

            sources.Write(result, "");
        }

        output.WriteLine();
        PartitionTable.Of(status.Partitions).Write(result, "There are no topics yet.");
    }

    private static void WriteUplink(TextWriter output, UplinkStatus uplink)
    {
        string state = uplink.Connected ? "connected" : "offline (records are kept and sent later)";
        output.WriteLine(
            $"uplink: {state}, geo-location '{uplink.GeoLocation}' of {uplink.Hub}, {uplink.LagRecords} records behind, "
            + $"{Quantities.FormatBytes(uplink.SentBytes)} sent");
        if (uplink.LastError.Length > 0)
            output.WriteLine($"  last error: {uplink.LastError}");
    }

    private static void WriteJson(ParseResult result, NodeStatus status)
    {
        var table = new TableOutput(
            "role", "version", "uptime_seconds", "healthy", "problems", "hub", "geo", "connected", "lag_records", "sent_bytes", "reconnects",
            "last_error");
        UplinkStatus? uplink = status.Uplink;
        table.Add(
            status.Role, status.Version, status.UptimeSeconds, status.Problems.Count == 0, string.Join("; ", status.Problems),
            uplink?.Hub, uplink?.GeoLocation, uplink?.Connected, uplink?.LagRecords, uplink?.SentBytes, uplink?.Reconnects, uplink?.LastError);
        table.Write(result, "");
    }
}
