using System.CommandLine;
using System.Globalization;
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
            var request = new ListGapsRequest
            {
                Topic = result.GetValue(topic),
                GeoLocation = result.GetValue(geo) is { } name ? Names.CheckGeoLocation(name) : "",
            };
            var table = new TableOutput(
                "topic", "partition", "geo", "first", "last", "records", "bytes", "from", "to", "reason", "noted");
            while (true)
            {
                ListGapsResponse answer = await client.CallAsync(c => c.ControlPlane.ListGapsAsync(request));
                foreach (Gap gap in answer.Gaps)
                {
                    table.Add(
                        gap.Topic, gap.Partition, gap.GeoLocation.Length > 0 ? gap.GeoLocation : null, gap.FirstOffset, gap.LastOffset,
                        gap.LastOffset - gap.FirstOffset + 1, gap.Bytes, Instants.Format(gap.MinTimestamp), Instants.Format(gap.MaxTimestamp), gap.Reason, Instants.Format(gap.NotedAt));
                }

                request.Skip += answer.Gaps.Count;
                if (answer.Gaps.Count == 0 || request.Skip >= answer.Total)
                    break;
            }

            table.Write(result, "No record is known to be lost.");
        });
        return command;
    }
}
