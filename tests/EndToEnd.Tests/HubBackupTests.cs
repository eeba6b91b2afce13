using EdgeStream.Client;
using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>A hub that comes back from a backup: its edges need nobody, and send again what it has lost.</summary>
public sealed class HubBackupTests
{
    [Fact(Timeout = 120_000)]
    public async Task Restored_hub_gets_again_what_its_edges_still_hold()
    {
        using var directory = new TemporaryDirectory();
        string address = $"127.0.0.1:{FreePort.Take()}";
        using NodeProcess hub = NodeProcess.Hub(directory.Path, address);
        using NodeProcess edge = NodeProcess.Edge(directory.Path, Sites.Plain);
        await hub.StartAsync();
        await edge.StartAsync();
        await Sites.JoinAsync(edge, hub, address);
        await ProduceAsync(edge, 0, 100);
        await AreSameAsync(edge, hub);

        await hub.Process.StopAsync();
        await DirectoryCopy.MakeAsync(hub.Data, directory.At("backup"));
        await hub.StartAsync();
        await ProduceAsync(edge, 100, 200);
        await AreSameAsync(edge, hub);
        await edge.Process.StopAsync();
        await edge.StartAsync();
        await ProduceAsync(edge, 200, 300);
        await AreSameAsync(edge, hub);

        await hub.Process.StopAsync();
        Directory.Delete(hub.Data, recursive: true);
        await DirectoryCopy.MakeAsync(directory.At("backup"), hub.Data);
        await hub.StartAsync();
        await ProduceAsync(edge, 300, 310);
        await AreSameAsync(edge, hub);
        Assert.Contains("health: good", await edge.CommandAsync("status"), StringComparison.Ordinal);
    }

    [Fact(Timeout = 120_000)]
    public async Task Hub_of_which_only_the_authority_was_kept_gets_again_what_its_edges_still_hold()
    {
        using var directory = new TemporaryDirectory();
        string address = $"127.0.0.1:{FreePort.Take()}";
        using NodeProcess hub = NodeProcess.Hub(directory.Path, address);
        using NodeProcess edge = NodeProcess.Edge(directory.Path, Sites.Plain);
        await hub.StartAsync();
        await edge.StartAsync();
        await Sites.JoinAsync(edge, hub, address);
        await ProduceAsync(edge, 0, 100);
        await AreSameAsync(edge, hub);

        await hub.Process.StopAsync();
        await DirectoryCopy.MakeAsync(Path.Combine(hub.Data, "ca"), directory.At("ca"));
        Directory.Delete(hub.Data, recursive: true);
        Directory.CreateDirectory(hub.Data);
        await DirectoryCopy.MakeAsync(directory.At("ca"), Path.Combine(hub.Data, "ca"));
        await hub.StartAsync();
        await ProduceAsync(edge, 100, 110);
        await AreSameAsync(edge, hub);
        Assert.Contains("health: good", await edge.CommandAsync("status"), StringComparison.Ordinal);
        Assert.Contains("site-1, online", await hub.CommandAsync("geo", "show", "site-1"), StringComparison.Ordinal);
    }

    private static async Task ProduceAsync(NodeProcess edge, int from, int to)
    {
        using EdgeStreamClient client = edge.Connect();
        await using Producer producer = await client.ProduceAsync(Sites.Topic);
        for (int i = from; i < to; i++)
            await await producer.SendAsync(new Storage.Records.Record(0, 0, null, BitConverter.GetBytes(i), []));
    }

    private static async Task AreSameAsync(NodeProcess edge, NodeProcess hub)
    {
        using EdgeStreamClient edgeClient = edge.Connect(), hubClient = hub.Connect();
        await Sites.WaitUntilMirroredAsync(edgeClient, hubClient);
        MirrorAudit audit = await MirrorAudit.RunAsync(edgeClient, hubClient, Sites.Topic, hubPartition: 0);
        Assert.Null(audit.Difference);
    }
}
