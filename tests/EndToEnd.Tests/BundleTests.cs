using EdgeStream.Client;
using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>Records on a stick: real nodes, real commands, a link that is down.</summary>
public sealed class BundleTests
{
    [Fact(Timeout = 600_000)]
    public async Task Records_go_by_stick_while_the_link_is_down_and_the_uplink_goes_on_behind_them()
    {
        using var directory = new TemporaryDirectory();
        int hubPort = FreePort.Take();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, $"127.0.0.1:{hubPort}");
        using NodeProcess edge = NodeProcess.Edge(directory.Path, Sites.Plain);
        using var link = new FaultyLink(hubPort);
        await hub.StartAsync();
        await edge.StartAsync();
        string stick = directory.At("stick.esb"), tampered = directory.At("tampered.esb");
        await ProduceAsync(edge, "a", 10);
        await RefusesAsync(edge, "'edgestream join' first", "log", "export", Sites.Topic, "--out", stick);
        await Sites.JoinAsync(edge, hub, $"127.0.0.1:{link.Port}");
        using EdgeStreamClient edgeClient = edge.Connect(), hubClient = hub.Connect();
        await Sites.WaitUntilMirroredAsync(edgeClient, hubClient);

        link.Fault = LinkFault.Cut;
        await ProduceAsync(edge, "b", 5000);
        string exported = await edge.CommandAsync("log", "export", Sites.Topic, "--out", stick);
        Assert.StartsWith($"exported offsets 0 to 5009 of '{Sites.Topic}' of 'site-1': 5010 records, ", exported, StringComparison.Ordinal);
        Assert.Equal(["stick.esb"], Directory.GetFiles(directory.Path, "*.esb*").Select(Path.GetFileName));
        await RefusesAsync(edge, "exists already", "log", "export", Sites.Topic, "--out", stick);
        await RefusesAsync(edge, "this node is an edge", "log", "import", stick);
        await RefusesAsync(hub, "this node is a hub", "log", "export", Sites.Topic, "--out", directory.At("other.esb"));
        Assert.False(File.Exists(directory.At("other.esb.part")));

        byte[] bundle = await File.ReadAllBytesAsync(stick);
        bundle[bundle.Length / 2] ^= 1;
        await File.WriteAllBytesAsync(tampered, bundle);
        await RefusesAsync(hub, "the bundle is damaged", "log", "import", tampered);
        await File.WriteAllBytesAsync(tampered, bundle[..^1]);
        await RefusesAsync(hub, "the bundle is damaged", "log", "import", tampered);
        await RefusesAsync(hub, "is no bundle", "log", "import", directory.At("edge.toml"));
        await RefusesAsync(hub, "cannot be read", "log", "import", directory.At("nothing"));
        Assert.Equal(10, (await Sites.PartitionAsync(hubClient, 0))!.LogEnd);

        Assert.Equal(
            $"imported offsets 0 to 5009 of '{Sites.Topic}' of 'site-1': 5000 records added; partition 0 ends at 5010",
            await hub.CommandAsync("log", "import", stick));
        Assert.StartsWith("nothing to do: the hub holds offsets 0 to 5009", await hub.CommandAsync("log", "import", stick), StringComparison.Ordinal);
        Assert.Null((await MirrorAudit.RunAsync(edgeClient, hubClient, Sites.Topic, hubPartition: 0)).Difference);

        await ProduceAsync(edge, "c", 50);
        await ProduceAsync(edge, "d", 50);
        string beyond = directory.At("beyond.esb");
        await edge.CommandAsync("log", "export", Sites.Topic, "--from", "5060", "--out", beyond);
        await RefusesAsync(hub, "the hub's copy ends at 5010: 50 records would be missing", "log", "import", beyond);
        hub.Kill();
        await hub.StartAsync();
        link.Fault = LinkFault.None;
        using EdgeStreamClient again = hub.Connect();
        await Sites.WaitUntilMirroredAsync(edgeClient, again);
        MirrorAudit audit = await MirrorAudit.RunAsync(edgeClient, again, Sites.Topic, hubPartition: 0);
        Assert.Null(audit.Difference);
        Assert.Equal(5110, audit.Records);
        Assert.Empty(Directory.GetFiles(hub.Data, "import-*"));

        await hub.CommandAsync("geo", "revoke", "site-1");
        await RefusesAsync(hub, "'site-1' was revoked", "log", "import", stick);
    }

    private static Task ProduceAsync(NodeProcess edge, string prefix, int count) => Task.Run(async () =>
    {
        (int exitCode, _, string error) = await EdgeStreamProgram.RunAsync(
            ["produce", Sites.Topic, "--socket", edge.Socket], string.Concat(Enumerable.Range(0, count).Select(n => $"{prefix}{n}\n")));
        Assert.True(exitCode == 0, error);
    });

    private static async Task RefusesAsync(NodeProcess node, string expected, params string[] arguments)
    {
        (int exitCode, _, string error) = await EdgeStreamProgram.RunAsync([.. arguments, "--socket", node.Socket]);
        Assert.Equal(1, exitCode);
        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.Single(error.Trim().Split('\n'));
    }
}
