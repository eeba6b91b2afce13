using System.Globalization;
using System.Text;
using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>The link between edge and hub fails in all the ways that a proxy can make it fail, while records keep coming.</summary>
public sealed class LinkTests
{
    [Fact(Timeout = 600_000)]
    public async Task Link_that_is_cut_frozen_and_one_way_again_and_again_ends_with_equal_logs()
    {
        const int Messages = 100_000;
        using var directory = new TemporaryDirectory();
        using var broker = new MosquittoBroker(directory.Path);
        int hubPort = FreePort.Take();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, $"127.0.0.1:{hubPort}");
        using NodeProcess edge = NodeProcess.Edge(directory.Path, Sites.SubscribesTo(broker.Port));
        using var link = new FaultyLink(hubPort);
        await broker.StartAsync();
        await hub.StartAsync();
        await edge.StartAsync();
        await Sites.JoinAsync(edge, hub, $"127.0.0.1:{link.Port}");
        await edge.Process.WaitForLineAsync("source mqtt.* runs");

        await using var device = new AcknowledgedPublisher("127.0.0.1", broker.Port, Messages, ratePerSecond: 1500);
        Task publishing = device.RunAsync();
        var chaos = new Chaos(Chaos.NewSeed());
        foreach (LinkFault fault in (LinkFault[])[LinkFault.Cut, LinkFault.Frozen, LinkFault.NoAnswers])
        {
            chaos.Add($"link {fault}", async () =>
            {
                link.Fault = fault;
                await chaos.PauseAsync(TimeSpan.FromSeconds(4));
                link.Fault = LinkFault.None;
            });
        }

        chaos.Add("kill the hub", () => chaos.KillAndRestartAsync(hub));
        await chaos.RunAsync(times: 2, TimeSpan.FromSeconds(1.5));
        Assert.False(publishing.IsCompleted, "the device was done before the last fault");
        device.Hurry();
        await publishing;

        await KillTests.AssertCompleteAsync(edge, hub, device, Messages);
    }

    [Fact(Timeout = 120_000)]
    public async Task Frozen_hub_process_is_noticed_and_the_mirror_goes_on_when_it_wakes()
    {
        using var directory = new TemporaryDirectory();
        int hubPort = FreePort.Take();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, $"127.0.0.1:{hubPort}");
        using NodeProcess edge = NodeProcess.Edge(directory.Path, Sites.Plain);
        await hub.StartAsync();
        await edge.StartAsync();
        await Sites.JoinAsync(edge, hub, $"127.0.0.1:{hubPort}");
        using EdgeStreamClient edgeClient = edge.Connect(), hubClient = hub.Connect();
        await ProduceAsync(edgeClient, 100);
        await Sites.WaitUntilMirroredAsync(edgeClient, hubClient);

        hub.Process.Signal("STOP");
        await ProduceAsync(edgeClient, 100);
        await edge.Process.WaitForLineAsync("no link to the hub");
        hub.Process.Signal("CONT");

        await Sites.WaitUntilMirroredAsync(edgeClient, hubClient);
        MirrorAudit audit = await MirrorAudit.RunAsync(edgeClient, hubClient, Sites.Topic, hubPartition: 0);
        Assert.Null(audit.Difference);
        Assert.Equal(200, audit.Records);
    }

    private static async Task ProduceAsync(EdgeStreamClient client, int count)
    {
        await using Producer producer = await client.ProduceAsync(Sites.Topic);
        var unacknowledged = new Queue<Task<long>>();
        for (int i = 0; i < count; i++)
        {
            byte[] value = Encoding.ASCII.GetBytes(i.ToString(CultureInfo.InvariantCulture));
            unacknowledged.Enqueue(await producer.SendAsync(new Record(i, key: null, new ReadOnlyMemory<byte>(value))));

            // Spread over the faults: a hundred at a time, each hundred durable before the next.
            if (i % 100 == 99)
            {
                while (unacknowledged.TryDequeue(out Task<long>? next))
                    await next;
            }
        }
    }
}
