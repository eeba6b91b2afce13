using System.Text.Json;
using EdgeStream.Client;
using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>A hub whose records are kept by NATS JetStream, as its users see it.</summary>
public sealed class JetStreamHubTests
{
    [Fact(Timeout = 120_000)]
    public async Task Edge_mirrors_to_a_hub_on_JetStream_through_the_end_of_the_hub_and_of_NATS()
    {
        using var directory = new TemporaryDirectory();
        using var nats = new NatsServer(directory.Path);
        int port = FreePort.Take();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, $"127.0.0.1:{port}", configuration: $"""
            [storage]
            engine = "jetstream"
            nats = ["{nats.Url}"]
            """);
        using NodeProcess edge = NodeProcess.Edge(directory.Path, Sites.Plain);

        // NATS comes last: the hub waits for it, and says so.
        await Task.WhenAll(hub.StartAsync(), edge.StartAsync());
        await ShowsAsync("it has no NATS", status => status.Contains("no server can be reached", StringComparison.Ordinal));
        await hub.CommandAsync("topic", "create", "orders");
        Assert.Contains("orders/0: NATS", await hub.CommandAsync("status"), StringComparison.Ordinal);
        await nats.StartAsync();
        await ShowsAsync("it has NATS", status => !status.Contains("no server can be reached", StringComparison.Ordinal));
        await Sites.JoinAsync(edge, hub, $"127.0.0.1:{port}");
        await ProduceAsync(edge, directory, 1000);
        await WaitUntilMirroredAsync();

        nats.Kill();
        await ProduceAsync(edge, directory, 1000);
        await nats.StartAsync();
        await WaitUntilMirroredAsync();

        hub.Kill();
        await ProduceAsync(edge, directory, 1000);
        await hub.StartAsync();
        await WaitUntilMirroredAsync();

        using (EdgeStreamClient atEdge = edge.Connect(), atHub = hub.Connect())
            Assert.Equal(new MirrorAudit(3000, 0, null), await MirrorAudit.RunAsync(atEdge, atHub, Sites.Topic, 0));

        string file = directory.At("orders");
        await File.WriteAllLinesAsync(file, ["a", "b"], TestContext.Current.CancellationToken);
        await hub.CommandAsync("produce", "orders", "--file", file);
        Assert.Equal("a\nb", (await hub.CommandAsync("consume", "orders", "-B", "-d")).Trim());
        await RefusesAsync("3 replicas need as many NATS servers", "topic", "create", "many", "--replicas", "3", "--socket", hub.Socket);
        await RefusesAsync("storage.engine = \"jetstream\"", "topic", "create", "many", "--replicas", "2", "--socket", edge.Socket);

        Task ShowsAsync(string what, Func<string, bool> expected)
        {
            string shown = "";
            return Condition.WaitAsync(() => $"the hub says that {what}: {shown}", async () => expected(shown = await hub.CommandAsync("status")));
        }

        async Task WaitUntilMirroredAsync()
        {
            using EdgeStreamClient atEdge = edge.Connect(), atHub = hub.Connect();
            await Sites.WaitUntilMirroredAsync(atEdge, atHub);
        }
    }

    [Fact(Timeout = 120_000)]
    public async Task Replicas_are_changed_and_shown()
    {
        using var directory = new TemporaryDirectory();
        using var cluster = new NatsCluster(directory.Path);
        await cluster.StartAsync();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, "127.0.0.1:0", configuration: $"""
            [storage]
            engine = "jetstream"
            nats = [{string.Join(", ", cluster.Urls.Select(url => $"\"{url}\""))}]
            """);
        await hub.StartAsync();
        string assignment = directory.At("assign.json");
        await File.WriteAllTextAsync(assignment, """{"partitions":[{"spu":1},{"spu":1}]}""", TestContext.Current.CancellationToken);
        await RefusesAsync("leave --assign out, or run 'edgestream sc'", "topic", "create", "orders", "--assign", assignment, "--socket", hub.Socket);
        await hub.CommandAsync("topic", "create", "orders", "--partitions", "2");
        await ShowsAsync("partition list", list => list.Contains("REPLICAS", StringComparison.Ordinal) && list.Split('*').Length == 3);
        await hub.CommandAsync("topic", "alter", "orders", "--replicas", "3");
        await ShowsAsync("partition list", list => list.Split('\n').Count(line => line.Contains('*') && "n1 n2 n3".Split(' ').All(line.Contains)) == 2);
        await ShowsAsync("partition list -o json", list =>
        {
            using var json = JsonDocument.Parse(list);
            return json.RootElement.EnumerateArray().All(partition =>
                partition.GetProperty("replicas").EnumerateArray().Count(replica => replica.GetProperty("current").GetBoolean()) == 3);
        });

        Task ShowsAsync(string command, Func<string, bool> expected)
        {
            string shown = "";
            return Condition.WaitAsync(() => $"'{command}' shows the replicas: {shown}", async () => expected(shown = await hub.CommandAsync(command.Split(' '))));
        }
    }

    private static async Task RefusesAsync(string expected, params string[] arguments)
    {
        (int exitCode, _, string error) = await EdgeStreamProgram.RunAsync(arguments);
        Assert.Equal(1, exitCode);
        Assert.Contains(expected, error, StringComparison.Ordinal);
    }

    private static async Task ProduceAsync(NodeProcess edge, TemporaryDirectory directory, int records)
    {
        string file = directory.At("records");
        await File.WriteAllLinesAsync(file, Enumerable.Range(0, records).Select(i => $"record {i}"), TestContext.Current.CancellationToken);
        await edge.CommandAsync("produce", Sites.Topic, "--file", file);
    }
}
