using System.CommandLine;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Cli;

/// <summary><c>topology</c> and <c>spu list</c>.</summary>
internal static class TopologyCommands
{
    public static Command Topology()
    {
        var command = new CliCommand("topology", "Show the cluster: SPUs, geo-locations, topics", "edgestream topology");
        command.Does(async (result, _) =>
        {
            using var client = ConnectionOptions.Open(result);
            Topology topology = await client.CallAsync(c => c.ControlPlane.GetTopologyAsync(new GetTopologyRequest()));
            Write(topology, result.InvocationConfiguration.Output);
        });
        return command;
    }

    public static Command Spu()
    {
        var list = new CliCommand("list", "List streaming processing units", "edgestream spu list") { Options = { TableOutput.Format } };
        list.Does(async (result, _) =>
        {
            using var client = ConnectionOptions.Open(result);
            Topology topology = await client.CallAsync(c => c.ControlPlane.GetTopologyAsync(new GetTopologyRequest()));
            var table = new TableOutput("spu", "online", "partitions");
            foreach (Spu spu in topology.Spus)
                table.Add(spu.Id, spu.Online, topology.Topics.Sum(topic => topic.Partitions.Count(partition => partition.LeaderSpu == spu.Id)));

            table.Write(result, "There are no SPUs.");
        });
        return new Command("spu", "Streaming processing units") { Subcommands = { list, SpuCertificateCommand.Create() } };
    }

    private static void Write(Topology topology, TextWriter output)
    {
        output.WriteLine($"cluster {topology.ClusterId}");
        foreach (Spu spu in topology.Spus)
            output.WriteLine($"├─ SPU {spu.Id} ({(spu.Online ? "online" : "offline")})");

        foreach (Topic topic in topology.Topics)
        {
            output.WriteLine($"├─ topic {topic.Name}{(topic.Settings.Mirror ? " (mirror)" : topic.Settings.Down ? " (flows down)" : "")}");
            foreach (Partition partition in topic.Partitions)
            {
                string origin = partition.GeoLocation.Length > 0 ? $" {(topic.Settings.Down ? '→' : '←')} geo-location {partition.GeoLocation}" : "";
                output.WriteLine($"│   ├─ partition {partition.Partition_} on SPU {partition.LeaderSpu}{origin}");
            }
        }

        foreach (GeoLocation geo in topology.GeoLocations)
            output.WriteLine($"├─ geo-location {geo.Name} ({GeoCommands.StateOf(geo)})");

        output.WriteLine("└─");
    }
}
