using EdgeStream.Client;
using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>The main promise, with everything that can be killed being killed: what was acknowledged is there, on both sides.</summary>
public sealed class KillTests
{
    private const int Kills = 5;

    [Fact(Timeout = 600_000)]
    public async Task Killed_edge_hub_and_broker_lose_nothing_that_the_device_saw_acknowledged()
    {
        const int Messages = 100_000;
        using var directory = new TemporaryDirectory();
        using var broker = new MosquittoBroker(directory.Path);
        await broker.StartAsync();
        int hubPort = FreePort.Take();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, $"127.0.0.1:{hubPort}");
        using NodeProcess edge = NodeProcess.Edge(directory.Path, Sites.SubscribesTo(broker.Port));
        await hub.StartAsync();
        await edge.StartAsync();
        await Sites.JoinAsync(edge, hub, $"127.0.0.1:{hubPort}");
        await edge.Process.WaitForLineAsync("source mqtt.* runs");

        await using var device = new AcknowledgedPublisher("127.0.0.1", broker.Port, Messages, ratePerSecond: 1500);
        Task publishing = device.RunAsync();
        var chaos = new Chaos(Chaos.NewSeed());
        chaos.Add("kill the edge", () => chaos.KillAndRestartAsync(edge));
        chaos.Add("kill the hub", () => chaos.KillAndRestartAsync(hub));
        chaos.Add("kill the broker", () => device.AtRestAsync(async () =>
        {
            // Mosquitto acknowledges before it saves, so what it has acknowledged is saved before it is killed. What the edge
            // has taken and acknowledged meanwhile is at any point, and is delivered again.
            await broker.SaveAsync();
            broker.Kill();
            await broker.StartAsync();
        }));
        await chaos.RunAsync(Kills, TimeSpan.FromMilliseconds(1500));
        Assert.False(publishing.IsCompleted, "the device was done before the last kill");
        device.Hurry();
        await publishing;

        await AssertCompleteAsync(edge, hub, device, Messages);
    }

    [Fact(Timeout = 600_000)]
    public async Task Killed_or_stopped_edge_that_is_the_broker_itself_has_every_message_that_it_acknowledged()
    {
        const int Messages = 30_000;
        using var directory = new TemporaryDirectory();
        int hubPort = FreePort.Take(), brokerPort = FreePort.Take();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, $"127.0.0.1:{hubPort}");
        using NodeProcess edge = NodeProcess.Edge(directory.Path, Sites.IsBroker(brokerPort));
        await hub.StartAsync();
        await edge.StartAsync();
        await Sites.JoinAsync(edge, hub, $"127.0.0.1:{hubPort}");

        await using var device = new AcknowledgedPublisher("127.0.0.1", brokerPort, Messages, ratePerSecond: 700);
        Task publishing = device.RunAsync();
        var chaos = new Chaos(Chaos.NewSeed());
        chaos.Add("kill the edge", () => chaos.KillAndRestartAsync(edge));
        chaos.Add("stop the edge", () => Chaos.StopAndRestartAsync(edge));
        chaos.Add("kill the hub", () => chaos.KillAndRestartAsync(hub));
        await chaos.RunAsync(Kills, TimeSpan.FromMilliseconds(1500));
        Assert.False(publishing.IsCompleted, "the device was done before the last kill");
        device.Hurry();
        await publishing;

        await AssertCompleteAsync(edge, hub, device, Messages);
    }

    /// <summary>Every message that the device saw acknowledged is at the edge, and the hub holds what the edge holds.</summary>
    internal static async Task AssertCompleteAsync(NodeProcess edge, NodeProcess hub, AcknowledgedPublisher device, int messages)
    {
        Assert.Equal(messages, device.AcknowledgedCount);
        using EdgeStreamClient edgeClient = edge.Connect(), hubClient = hub.Connect();
        int[] seen = new int[messages];
        await Condition.WaitAsync(
            () => $"every acknowledged message is in the edge's log; {seen.Count(times => times == 0)} are not. The edge printed:\n{edge.Process.Output}",
            async () =>
            {
                Array.Clear(seen);
                await Sites.WaitUntilMirroredAsync(edgeClient, hubClient);
                MirrorAudit audit = await MirrorAudit.RunAsync(
                    edgeClient, hubClient, Sites.Topic, hubPartition: 0, record => seen[AcknowledgedPublisher.NumberOf(record.Value!.Value.Span)]++);
                return audit.Difference is null && device.Acknowledged.All(number => seen[number] > 0);
            },
            TimeSpan.FromSeconds(90));

        // Everything has come to rest: what both sides hold is the same, byte by byte.
        MirrorAudit final = await MirrorAudit.RunAsync(edgeClient, hubClient, Sites.Topic, hubPartition: 0);
        Assert.Null(final.Difference);
        Assert.Equal(seen.Sum(), final.Records);
        Console.WriteLine($"{messages} acknowledged, {final.Records} stored ({final.Records - messages} delivered twice), {device.Reconnects} connections of the device");
    }
}
