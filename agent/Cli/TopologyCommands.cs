using System.CommandLine;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Cli;

/// <summary><c>topology</c>, <c>spu list</c> and <c>spu remove</c>.</summary>
internal static class TopologyCommands
{
    public static Command Topology()
    {
        var command = new CliCommand("topology", "Show the cluster: SPUs, geo-locations, topics", "edgestream topology") { Options = { TableOutput.Format } };
        command.Does(async (result, _) =>
        {
            using var client = ConnectionOptions.Open(result);
            Topology topology = await client.GetTopologyAsync();
            if (TableOutput.IsJson(result))
                WriteJson(result, topology);
            else
                Write(topology, result.InvocationConfiguration.Output);
        });
        return command;
    }

    public static Command SpuList()
    {
        var list = new CliCommand("list", "List streaming processing units", "edgestream spu list") { Options = { TableOutput.Format } };
        list.Does(async (result, _) =>
        {
            using var client = ConnectionOptions.Open(result);
            SpuTable(await client.GetTopologyAsync()).Write(result, "There are no SPUs.");
        });
        return list;
    }

    public static Command SpuRemove()
    {
        Argument<int> id = new Argument<int>("id") { Description = "Its number, as 'edgestream spu list' shows it" }.AtLeast(0);
        var remove = new CliCommand("remove", "Forget an SPU that is gone for good", "edgestream spu remove 3") { Arguments = { id } };
        remove.Does(async (result, _) =>
        {
            using var client = ConnectionOptions.Open(result);
            await client.CallAsync(c => c.ControlPlane.RemoveSpuAsync(new RemoveSpuRequest { Id = result.GetValue(id) }));
            result.InvocationConfiguration.Output.WriteLine(
                $"SPU {result.GetValue(id)} is forgotten; one that starts with its identity is a new one");
        });
        return remove;
    }

    private static TableOutput SpuTable(Topology topology)
    {
        var table = new TableOutput("spu", "online", "partitions", "zone", "endpoints", "version", "nats_server");
        foreach (Spu spu in topology.Spus)
        {
            table.Add(
                spu.Id, spu.Online, topology.Topics.Sum(topic => topic.Partitions.Count(partition => partition.LeaderSpu == spu.Id)),
                OrNull(spu.Zone), OrNull(string.Join(", ", spu.Endpoints)), OrNull(spu.Version), OrNull(spu.NatsServer));
        }

        return table;
    }

    private static void Write(Topology topology, TextWriter output)
    {
        output.WriteLine($"cluster {topology.ClusterId}");
        (string Line, string[] Below)[] branches =
        [
            .. topology.Spus.Select(spu => (LineOf(spu), Array.Empty<string>())),
            .. topology.Topics.Select(topic => (LineOf(topic), topic.Partitions.Select(partition => LineOf(topology, topic, partition)).ToArray())),
            .. topology.GeoLocations.Select(geo => (LineOf(topology, geo), Array.Empty<string>())),
        ];
        for (int i = 0; i < branches.Length; i++)
        {
            bool isLast = i == branches.Length - 1;
            (string line, string[] below) = branches[i];
            output.WriteLine($"{Edge(isLast)} {line}");
            for (int k = 0; k < below.Length; k++)
                output.WriteLine($"{(isLast ? ' ' : '│')}   {Edge(k == below.Length - 1)} {below[k]}");
        }

        static string Edge(bool isLast) => isLast ? "└─" : "├─";
    }

    private static string LineOf(Spu spu)
    {
        string zone = spu.Zone.Length > 0 ? $", zone {spu.Zone}" : "";
        string endpoints = spu.Endpoints.Count > 0 ? $" at {string.Join(", ", spu.Endpoints)}" : "";
        return $"SPU {spu.Id} ({(spu.Online ? "online" : "offline")}{zone}){endpoints}";
    }

    private static string LineOf(Topic topic) =>
        $"topic {topic.Name}{(topic.Settings.Mirror ? " (mirror)" : topic.Settings.Down ? " (flows down)" : "")}";

    private static string LineOf(Topology topology, Topic topic, Partition partition)
    {
        string origin = partition.GeoLocation.Length > 0 ? $" {(topic.Settings.Down ? '→' : '←')} geo-location {partition.GeoLocation}" : "";
        string leader = topology.Spus.Any(spu => spu.Id == partition.LeaderSpu) ? $"on SPU {partition.LeaderSpu}" : "on no SPU";
        return $"partition {partition.Partition_} {leader}{origin}";
    }

    private static string LineOf(Topology topology, GeoLocation geo)
    {
        string spu = topology.Spus is not [{ Endpoints.Count: 0 }] && SpuOf(topology, geo) is { } serving ? $" on SPU {serving}" : "";
        return $"geo-location {geo.Name} ({GeoCommands.StateOf(geo)}){spu}";
    }

    /// <summary>One object: the cluster, with tables of what it consists of.</summary>
    private static void WriteJson(ParseResult result, Topology topology)
    {
        var partitions = new TableOutput("topic", "partition", "geo", "leader");
        foreach (Partition partition in topology.Topics.SelectMany(topic => topic.Partitions))
            partitions.Add(partition.Topic, partition.Partition_, OrNull(partition.GeoLocation), partition.LeaderSpu);

        var geoLocations = new TableOutput("geo", "state", "spu");
        foreach (GeoLocation geo in topology.GeoLocations)
            geoLocations.Add(geo.Name, GeoCommands.StateOf(geo), SpuOf(topology, geo));

        var table = new TableOutput("cluster", "spus", "partitions", "geo_locations");
        table.Add(topology.ClusterId, SpuTable(topology), partitions, geoLocations);
        table.Write(result, "");
    }

    /// <summary>Which SPU serves a geo-location: the one that leads its partitions, all of them; null before it has any.</summary>
    private static int? SpuOf(Topology topology, GeoLocation geo) =>
        topology.Topics.SelectMany(topic => topic.Partitions).FirstOrDefault(partition => partition.GeoLocation == geo.Name)?.LeaderSpu;

    private static string? OrNull(string text) => text.Length > 0 ? text : null;
}
