using System.CommandLine;
using EdgeStream.Agent.Configuration;
using EdgeStream.Client;
using EdgeStream.Cluster.Topology;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Cli;

/// <summary><c>latest TOPIC</c>, at a hub: the latest value of each key.</summary>
internal static class LatestCommand
{
    public static Command Create()
    {
        var topic = new Argument<string>("topic");
        var geo = new Option<string?>("--geo") { Description = "Only those of this geo-location", HelpName = "name" };
        var command = new CliCommand(
            "latest", "At a hub: show the latest value of each key of a live topic, ahead of its backlog", "edgestream latest readings --geo berlin-7")
        {
            Arguments = { topic },
            Options = { geo, TableOutput.Format },
        };
        command.Does(async (result, _) =>
        {
            using var client = ConnectionOptions.Open(result);
            Gathered<LatestValue> values = await client.ReadLatestAsync(
                Names.CheckTopic(result.GetValue(topic)), result.GetValue(geo) is { } name ? Names.CheckGeoLocation(name) : "");
            var table = new TableOutput("geo", "key", "value", "age", "offset", "lane");
            foreach (LatestValue latest in values.Items)
            {
                LiveValue value = latest.Value;
                table.Add(
                    latest.GeoLocation,
                    value.HasKey ? VisibleText.Of(value.Key.ToStringUtf8()) : null,
                    VisibleText.Of(value.Value.ToStringUtf8()),
                    AgeOf(value.Timestamp),
                    value.Offset,
                    latest.Ordered ? "ordered" : "live");
            }

            TableOutput.WriteProblems(result, values.Problems);
            table.Write(result, "No edge has told of a latest value; 'live = true' in an edge's [[topic]] makes it do so when it is behind.");
        });
        return command;
    }

    private static string AgeOf(long timestamp) =>
        Quantities.FormatTime(TimeSpan.FromMilliseconds(Math.Max(0, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() - timestamp)));
}
