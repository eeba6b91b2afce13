using System.Diagnostics;
using System.Text;
using System.Text.Json;
using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>SIGTERM to an edge: sources, what they brought, uplink, log, in this order.</summary>
public sealed class StopTests
{
    // Its pulses are recorded at the stop and not before.
    private const string Meter = """

        [[source.gpio]]
        chip = "simulated"
        line = 4
        simulated-period = "20ms"
        topic = "readings"
        key = "meter"
        count-every = "1h"
        """;

    private static readonly string[] Order = ["sources", "uplinks", "sinks", "API", "log"];

    [Fact(Timeout = 120_000)]
    public async Task Record_that_a_source_makes_when_it_stops_is_durable_and_at_the_hub_when_the_edge_has_ended()
    {
        using var directory = new TemporaryDirectory();
        int port = FreePort.Take();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, $"127.0.0.1:{port}");
        using NodeProcess edge = NodeProcess.Edge(directory.Path, Sites.Plain + Meter);
        await hub.StartAsync();
        await edge.StartAsync();
        await Sites.JoinAsync(edge, hub, $"127.0.0.1:{port}");
        await SourceHasReceivedAsync(edge, 10);
        await edge.Process.WaitForLineAsync("connected to the hub");

        Assert.Equal(0, await edge.Process.StopAsync());

        string record = Assert.Single(await DumpAsync(edge));
        Assert.StartsWith("{\"line\":4,\"count\":", Value(record), StringComparison.Ordinal);
        string atHub = Assert.Single((await hub.CommandAsync("consume", Sites.Topic, "--geo", "site-1", "-B", "-d", "-o", "json")).Split('\n'));
        Assert.Contains("\"offset\":0,", atHub, StringComparison.Ordinal);
        Assert.Contains("\"key\":\"meter\"", atHub, StringComparison.Ordinal);
        AssertOrder(edge);
    }

    [Fact(Timeout = 120_000)]
    public async Task What_a_device_saw_acknowledged_up_to_the_stop_is_at_the_hub_when_the_edge_has_ended()
    {
        const int Messages = 100_000;
        using var directory = new TemporaryDirectory();
        int hubPort = FreePort.Take(), brokerPort = FreePort.Take();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, $"127.0.0.1:{hubPort}");
        using NodeProcess edge = NodeProcess.Edge(directory.Path, Sites.IsBroker(brokerPort));
        await hub.StartAsync();
        await edge.StartAsync();
        await Sites.JoinAsync(edge, hub, $"127.0.0.1:{hubPort}");
        await edge.Process.WaitForLineAsync("connected to the hub");
        await using var device = new AcknowledgedPublisher("127.0.0.1", brokerPort, Messages, ratePerSecond: 300);
        _ = device.RunAsync();
        await Condition.WaitAsync("the device is in full swing", () => device.AcknowledgedCount > 500);

        Assert.Equal(0, await edge.Process.StopAsync());

        int[] acknowledged = [.. device.Acknowledged];
        Assert.True(acknowledged.Length < Messages, "the device was done before the stop");
        HashSet<int> atHub = await NumbersAsync(hub);
        Assert.DoesNotContain(acknowledged, number => !atHub.Contains(number));
        Assert.Equal(atHub.Count, (await DumpAsync(edge)).Select(NumberOf).Distinct().Count());
        AssertOrder(edge);
    }

    [Fact(Timeout = 120_000)]
    public async Task Link_that_carries_nothing_does_not_hold_up_the_stop_and_what_was_stored_goes_up_later()
    {
        using var directory = new TemporaryDirectory();
        int port = FreePort.Take();
        using var link = new FaultyLink(port);
        using NodeProcess hub = NodeProcess.Hub(directory.Path, $"127.0.0.1:{port}");
        using NodeProcess edge = NodeProcess.Edge(directory.Path, Sites.Plain + Meter);
        await hub.StartAsync();
        await edge.StartAsync();
        await Sites.JoinAsync(edge, hub, $"127.0.0.1:{link.Port}");
        await SourceHasReceivedAsync(edge, 10);
        await edge.Process.WaitForLineAsync("connected to the hub");
        link.Fault = LinkFault.Frozen;

        var stopping = Stopwatch.StartNew();
        Assert.Equal(0, await edge.Process.StopAsync());
        Assert.True(stopping.Elapsed < TimeSpan.FromSeconds(10), $"the stop took {stopping.Elapsed}");
        Assert.Single(await DumpAsync(edge));
        AssertOrder(edge);

        link.Fault = LinkFault.None;
        await edge.StartAsync();
        using EdgeStreamClient edgeClient = edge.Connect(), hubClient = hub.Connect();
        await Sites.WaitUntilMirroredAsync(edgeClient, hubClient);
        Assert.Equal(1, (await Sites.PartitionAsync(hubClient, 0))!.Durable);
    }

    private static async Task SourceHasReceivedAsync(NodeProcess edge, long count)
    {
        using EdgeStreamClient client = edge.Connect();
        await Condition.WaitAsync(
            () => $"the source has received {count}",
            async () =>
            {
                NodeStatus status = await client.CallAsync(c => c.Agent.GetStatusAsync(new GetStatusRequest()));
                return status.Sources.Any(source => source.Received >= count);
            });
    }

    /// <summary>What the edge's files hold, from a process that is not the edge: what is not on the disk is not there.</summary>
    private static async Task<string[]> DumpAsync(NodeProcess edge) =>
        (await EdgeStreamProgram.RunGoodAsync("log", "dump", Sites.Topic, "-o", "json", "--data", edge.Data)).Split('\n', StringSplitOptions.RemoveEmptyEntries);

    private static async Task<HashSet<int>> NumbersAsync(NodeProcess hub)
    {
        string lines = await hub.CommandAsync("consume", Sites.Topic, "--geo", "site-1", "-B", "-d", "-o", "json");
        return [.. lines.Split('\n').Select(NumberOf)];
    }

    /// <summary>The device's number of a message, which is where its payload begins.</summary>
    private static int NumberOf(string line) => AcknowledgedPublisher.NumberOf(Encoding.ASCII.GetBytes(Value(line)));

    private static string Value(string line) => JsonDocument.Parse(line).RootElement.GetProperty("value").GetString()!;

    /// <summary>What the edge says of its stop.</summary>
    private static void AssertOrder(NodeProcess edge)
    {
        string[] lines = [.. edge.Process.Output.Split('\n').Where(line => line.Contains("stopped: ", StringComparison.Ordinal))];
        Assert.Equal(Order, lines.Select(line => line.Split("stopped: ")[1].Trim()));
    }
}
