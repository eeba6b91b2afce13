using System.CommandLine;
using EdgeStream.Client;
using EdgeStream.Cluster.Topology;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Cli;

/// <summary><c>gaps</c>: what is known to be lost.</summary>
internal static class GapsCommand
{
    public static Command Create()
    {
        var topic = new Argument<string>("topic") { Description = "Only those of this topic", Arity = ArgumentArity.ZeroOrOne, DefaultValueFactory = _ => "" };
        var geo = new Option<string?>("--geo") { Description = "At a hub: only those of this geo-location", HelpName = "name" };
        var command = new CliCommand("gaps", "List the records that are known to be lost, and why", "edgestream gaps readings -o json")
        {
            Arguments = { topic },
            Options = { geo, TableOutput.Format },
        };
        command.Does(async (result, _) =>
        {
            using var client = ConnectionOptions.Open(result);
            Gathered<Gap> gaps = await client.ListGapsAsync(
                result.GetValue(topic) is { Length: > 0 } only ? Names.CheckTopic(only) : "", result.GetValue(geo) is { } name ? Names.CheckGeoLocation(name) : "");
            var table = new TableOutput(
                "topic", "partition", "geo", "first", "last", "records", "bytes", "from", "to", "reason", "noted");
            foreach (Gap gap in gaps.Items)
            {
                table.Add(
                    gap.Topic, gap.Partition, gap.GeoLocation.Length > 0 ? gap.GeoLocation : null, gap.FirstOffset, gap.LastOffset,
                    gap.LastOffset - gap.FirstOffset + 1, gap.Bytes, Instants.Format(gap.MinTimestamp), Instants.Format(gap.MaxTimestamp), gap.Reason, Instants.Format(gap.NotedAt));
            }

            TableOutput.WriteProblems(result, gaps.Problems);
            table.Write(result, "No record is known to be lost.");
        });
        return command;
    }
}
