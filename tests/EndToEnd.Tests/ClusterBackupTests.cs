using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Harness.Cluster;
using EdgeStream.Protocol.V1;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>A cluster that comes back from copies of its NATS servers' stores, as docs/cluster.md says it.</summary>
public sealed class ClusterBackupTests
{
    private static readonly string[] Servers = ["n1", "n2", "n3"];

    [Fact(Timeout = 240_000)]
    public async Task Restored_cluster_has_what_was_copied_and_gets_again_what_its_edges_still_hold()
    {
        using var directory = new TemporaryDirectory();
        using var cluster = new ClusterProcesses(directory.Path);
        await cluster.StartAsync(new ClusterSize { Controllers = 1, Spus = 2, Edges = 1 });
        await cluster.CommandAsync("topic", "create", "orders", "--partitions", "2");
        await ProduceAsync(cluster, "copied");
        await MirrorAsync(cluster, 0, 100);
        await cluster.CommandAsync("consume", "orders", "--group", "billing", "-B", "-n", "1");

        await StopAsync(cluster);
        foreach (string server in Servers)
            await DirectoryCopy.MakeAsync(Path.Combine(directory.At(server), "store"), directory.At(server + "-copy"));

        await StartAsync(cluster);
        await ProduceAsync(cluster, "lost");
        await MirrorAsync(cluster, 100, 200);

        await StopAsync(cluster);
        foreach (string server in Servers)
        {
            string store = Path.Combine(directory.At(server), "store");
            Directory.Delete(store, recursive: true);
            await DirectoryCopy.MakeAsync(directory.At(server + "-copy"), store);
        }

        await StartAsync(cluster);
        for (int partition = 0; partition < 2; partition++)
            Assert.Equal("copied", await cluster.CommandAsync("consume", "orders", "--partition", $"{partition}", "-B", "-d"));

        Assert.Contains("billing", await cluster.CommandAsync("consumer", "list"), StringComparison.Ordinal);
        await ProduceAsync(cluster, "after it");
        await MirrorAsync(cluster, 200, 210);
    }

    /// <summary>In the order in which nobody misses another; the edge goes on.</summary>
    private static async Task StopAsync(ClusterProcesses cluster)
    {
        foreach (string name in (string[])["spu1", "spu2", "sc1", .. Servers])
            await cluster[name].StopAsync();
    }

    private static async Task StartAsync(ClusterProcesses cluster)
    {
        await Task.WhenAll(Servers.Select(server => cluster[server].StartAsync()));
        foreach (string name in (string[])["sc1", "spu1", "spu2"])
            await cluster[name].StartAsync();

        using EdgeStreamClient client = cluster.Connect("admin");
        await cluster.WaitUntilWellAsync(client);
    }

    private static async Task ProduceAsync(ClusterProcesses cluster, string text)
    {
        using EdgeStreamClient client = cluster.Connect("admin");
        for (int partition = 0; partition < 2; partition++)
        {
            await using Producer producer = await client.ProduceAsync("orders", partition);
            await await producer.SendAsync(new Record(0, null, System.Text.Encoding.UTF8.GetBytes(text)));
        }
    }

    /// <summary>Has the edge store records, and waits until the cluster has all that the edge has.</summary>
    private static async Task MirrorAsync(ClusterProcesses cluster, int from, int to)
    {
        using EdgeStreamClient edge = cluster.Edges[0].Connect(), client = cluster.Connect("admin");
        await using (Producer producer = await edge.ProduceAsync(ClusterProcesses.MirrorTopic))
        {
            for (int i = from; i < to; i++)
                await await producer.SendAsync(new Record(0, null, BitConverter.GetBytes(i)));
        }

        await Condition.WaitAsync(
            () => $"all is mirrored:\n{cluster.Output()}",
            async () => (await edge.ListPartitionsAsync(ClusterProcesses.MirrorTopic)).Single() is var status && status.Mirrored == status.Durable,
            TimeSpan.FromSeconds(60));
        Topology topology = await client.GetTopologyAsync();
        int partition = topology.Topics.Single(topic => topic.Name == ClusterProcesses.MirrorTopic).Partitions.Single(one => one.GeoLocation == "edge1").Partition_;
        MirrorAudit audit = await MirrorAudit.RunAsync(edge, client, ClusterProcesses.MirrorTopic, partition);
        Assert.Null(audit.Difference);
        Assert.Equal(to, audit.Records);
    }
}
