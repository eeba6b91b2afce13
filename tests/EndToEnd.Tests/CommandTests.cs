using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using System.Text.RegularExpressions;
using EdgeStream.Harness;
using MQTTnet;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>Commands from the hub to what hangs on the edge: real nodes, a real broker, a link that is cut.</summary>
public sealed class CommandTests
{
    private const string Topic = "commands";

    [Fact(Timeout = 300_000)]
    public async Task Command_produced_at_the_hub_switches_a_line_and_is_published_unless_it_comes_too_late()
    {
        using var directory = new TemporaryDirectory();
        using var broker = new MosquittoBroker(directory.Path);
        await broker.StartAsync();
        int hubPort = FreePort.Take();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, $"127.0.0.1:{hubPort}");
        using var link = new FaultyLink(hubPort);
        using NodeProcess edge = NodeProcess.Edge(directory.Path, $$"""
            [[sink.gpio]]
            chip = "simulated"
            line = 5
            topic = "{{Topic}}"

            [[sink.mqtt]]
            broker = "mqtt://127.0.0.1:{{broker.Port}}"
            topic = "{{Topic}}"
            publish = "site/commands/{key}"

            [uplink]
            progress-timeout = "3s"
            max-backoff = "1s"
            """);
        await hub.StartAsync();
        await hub.CommandAsync("topic", "create", Topic, "--down", "--ttl", "10m");
        await edge.StartAsync();
        await Sites.JoinAsync(edge, hub, $"127.0.0.1:{link.Port}");

        var published = new ConcurrentQueue<string>();
        using IMqttClient subscriber = await SubscribeAsync(broker.Port, published);
        await ProduceAsync(hub, "pump:on\n", "--geo", "site-1");
        await edge.Process.WaitForLineAsync($@"gpio simulated/5 is on \({Topic}, offset 0\)");
        await Condition.WaitAsync("it was published", () => published.Contains("site/commands/pump on"));

        // Too late when the link is back; what was produced after it is not.
        link.Fault = LinkFault.Cut;
        await edge.Process.WaitForLineAsync("no link to the hub");
        await ProduceAsync(hub, "pump:off\n", "--all-geos", "--ttl", "200ms");
        long expired = Stopwatch.GetTimestamp();
        await ProduceAsync(hub, "pump:toggle\n", "--all-geos");
        await Condition.WaitAsync("the time to live is over", () => Stopwatch.GetElapsedTime(expired) > TimeSpan.FromMilliseconds(300));
        link.Fault = LinkFault.None;
        await edge.Process.WaitForLineAsync($@"gpio simulated/5 is off \({Topic}, offset 2\)");
        await Condition.WaitAsync("the toggle was published", () => published.Contains("site/commands/pump toggle"));
        Assert.Equal(["site/commands/pump on", "site/commands/pump toggle"], published);
        Assert.DoesNotContain("offset 1)", edge.Process.Output, StringComparison.Ordinal);
        Assert.Matches(@"""first"":1,""last"":1,.*""reason"":""expired""", Compact(await edge.CommandAsync("gaps", Topic, "-o", "json")));
        Assert.Equal("on\ntoggle", await edge.CommandAsync("consume", Topic, "-B", "-d"));

        (int refused, _, string error) = await EdgeStreamProgram.RunAsync(["produce", Topic, "--socket", edge.Socket], "on\n");
        Assert.Equal(1, refused);
        Assert.Contains("flows down from the hub; produce there", error, StringComparison.Ordinal);
        (refused, _, error) = await EdgeStreamProgram.RunAsync(["produce", Topic, "--socket", hub.Socket], "on\n");
        Assert.Equal(1, refused);
        Assert.Contains("--geo NAME says to which", error, StringComparison.Ordinal);
        string status = await edge.CommandAsync("status");
        Assert.Matches(@"gpio simulated/5\W+running\W+2\W+2\W+0", status);
        Assert.Matches(@"mqtt://127\.0\.0\.1:\d+ as \S+\W+running\W+2\W+2\W+0", status);

        // What was done before a restart is not done again.
        Assert.Equal(0, await edge.Process.StopAsync());
        await edge.StartAsync();
        await edge.Process.WaitForLineAsync("connected to the hub");
        await ProduceAsync(hub, "pump:on\n", "--geo", "site-1");
        await edge.Process.WaitForLineAsync($@"gpio simulated/5 is on \({Topic}, offset 3\)");
        await Condition.WaitAsync("the last was published", () => published.Count == 3);
        Assert.Single(Regex.Matches(edge.Process.Output, "gpio simulated/5 is"));
    }

    private static string Compact(string json) => Regex.Replace(json, @"\s", "");

    private static async Task ProduceAsync(NodeProcess hub, string lines, params string[] options)
    {
        (int exitCode, _, string error) = await EdgeStreamProgram.RunAsync(
            ["produce", Topic, "--key-separator", ":", .. options, "--socket", hub.Socket], lines);
        Assert.True(exitCode == 0, error);
    }

    private static async Task<IMqttClient> SubscribeAsync(int port, ConcurrentQueue<string> published)
    {
        IMqttClient client = new MqttClientFactory().CreateMqttClient();
        client.ApplicationMessageReceivedAsync += message =>
        {
            published.Enqueue($"{message.ApplicationMessage.Topic} {Encoding.UTF8.GetString(message.ApplicationMessage.Payload)}");
            return Task.CompletedTask;
        };
        await client.ConnectAsync(new MqttClientOptionsBuilder().WithTcpServer("127.0.0.1", port).WithClientId("watcher").Build());
        await client.SubscribeAsync("site/commands/#", MQTTnet.Protocol.MqttQualityOfServiceLevel.AtLeastOnce);
        return client;
    }
}
