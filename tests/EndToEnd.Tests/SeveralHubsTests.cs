using System.Text.Json;
using EdgeStream.Client;
using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>An edge and two hubs as real programs: one hub goes away, is broken at the edge, and is left.</summary>
public sealed class SeveralHubsTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    [Fact(Timeout = 300_000)]
    public async Task Edge_mirrors_to_two_hubs_and_leaves_one()
    {
        using var directory = new TemporaryDirectory();
        int port = FreePort.Take(), otherPort = FreePort.Take();
        string address = $"127.0.0.1:{port}", otherAddress = $"127.0.0.1:{otherPort}";
        using NodeProcess hub = NodeProcess.Hub(directory.Path, address);
        using NodeProcess other = NodeProcess.Hub(directory.Path, otherAddress, "other");
        using NodeProcess edge = NodeProcess.Edge(directory.Path, Sites.Plain);
        await Task.WhenAll(hub.StartAsync(), other.StartAsync(), edge.StartAsync());
        await Sites.JoinAsync(edge, hub, address);
        await RefusesAsync(edge, "already", "join", address, "--token", await hub.CommandAsync("geo", "invite", "again"));
        await Sites.JoinAsync(edge, other, otherAddress, "site-one");

        await ProduceAsync(directory, edge, 100);
        await WaitUntilMirroredAsync(edge, hub);
        await WaitUntilMirroredAsync(edge, other);
        Assert.Equal(
            [("site-1", address), ("site-one", otherAddress)],
            (await StatusAsync(edge)).Select(row => (Text(row, "geo"), Text(row, "hub"))).Order());
        string metrics = await MetricsAsync(edge);
        Assert.Contains($"edgestream_uplink_connected{{hub=\"{address}\",geo=\"site-1\"}} 1", metrics, StringComparison.Ordinal);
        Assert.Contains($"edgestream_uplink_connected{{hub=\"{otherAddress}\",geo=\"site-one\"}} 1", metrics, StringComparison.Ordinal);

        // One is away: the other gets all, and what both must have waits.
        other.Kill();
        await ProduceAsync(directory, edge, 50);
        await WaitUntilMirroredAsync(edge, hub);
        Assert.Equal(100, await MirroredAsync(edge));
        await other.StartAsync();
        await WaitUntilMirroredAsync(edge, other);
        await Condition.WaitAsync(() => "all is mirrored", async () => await MirroredAsync(edge) == 150, Deadline);
        Assert.Equal(await RecordsAsync(hub, "site-1"), await RecordsAsync(other, "site-one"));
        await RefusesAsync(edge, "say which one", "leave");
        await RefusesAsync(edge, "say which one", "log", "export", Sites.Topic, "--out", directory.At("bundle"));
        await edge.CommandAsync("log", "export", Sites.Topic, "--out", directory.At("bundle"), "--hub", otherAddress);
        Assert.Contains("150", await other.CommandAsync("log", "import", directory.At("bundle")), StringComparison.Ordinal);

        // What makes the edge known at one hub is damaged: the edge says so, and the other hub does not notice.
        edge.Kill();
        string identity = Directory.GetDirectories(Path.Combine(edge.Data, "identity"))
            .Single(path => File.ReadAllText(Path.Combine(path, "hub")).Trim() == otherAddress);
        await File.WriteAllTextAsync(Path.Combine(identity, "edge.crt"), "garbage", TestContext.Current.CancellationToken);
        await edge.StartAsync();
        await ProduceAsync(directory, edge, 50);
        await WaitUntilMirroredAsync(edge, hub);
        Assert.Contains("cannot be read", await edge.CommandAsync("status"), StringComparison.Ordinal);
        Assert.True(await MirroredAsync(edge) <= 150);

        await edge.CommandAsync("leave", Path.GetFileName(identity));
        await Condition.WaitAsync(() => "all is mirrored", async () => await MirroredAsync(edge) == 200, Deadline);
        Assert.Equal(address, Text(Assert.Single(await StatusAsync(edge)), "hub"));
        Assert.False(Directory.Exists(identity));

        // A hub that was made anew under the same address is another one.
        hub.Kill();
        using NodeProcess remade = NodeProcess.Hub(directory.Path, address, "remade");
        await remade.StartAsync();
        string token = await remade.CommandAsync("geo", "invite", "site-1");
        await RefusesAsync(edge, $"another hub under the address {address}", "join", address, "--token", token);
        Assert.Contains("nothing is mirrored any more", await edge.CommandAsync("leave"), StringComparison.Ordinal);
        await edge.CommandAsync("join", address, "--token", token);
        await WaitUntilMirroredAsync(edge, remade);
    }

    private static async Task ProduceAsync(TemporaryDirectory directory, NodeProcess edge, int records)
    {
        string file = directory.At("records");
        await File.WriteAllLinesAsync(file, Enumerable.Range(0, records).Select(n => $"record {n}"), TestContext.Current.CancellationToken);
        await edge.CommandAsync("produce", Sites.Topic, "--file", file);
    }

    private static async Task WaitUntilMirroredAsync(NodeProcess edge, NodeProcess hub)
    {
        using EdgeStreamClient edgeClient = edge.Connect(), hubClient = hub.Connect();
        await Sites.WaitUntilMirroredAsync(edgeClient, hubClient, deadline: Deadline);
    }

    private static async Task<long> MirroredAsync(NodeProcess edge)
    {
        using EdgeStreamClient client = edge.Connect();
        return (await Sites.PartitionAsync(client, 0))!.Mirrored;
    }

    private static Task<string> RecordsAsync(NodeProcess hub, string geo) =>
        hub.CommandAsync("consume", Sites.Topic, "--geo", geo, "-B", "-d");

    private static async Task<JsonElement[]> StatusAsync(NodeProcess edge)
    {
        using JsonDocument json = JsonDocument.Parse(await edge.CommandAsync("status", "-o", "json"));
        return [.. json.RootElement.EnumerateArray().Select(row => row.Clone())];
    }

    private static string Text(JsonElement row, string column) => row.GetProperty(column).GetString()!;

    private static async Task<string> MetricsAsync(NodeProcess edge)
    {
        using var http = new HttpClient();
        return await http.GetStringAsync(new Uri(await edge.HttpAsync(), "/metrics"), TestContext.Current.CancellationToken);
    }

    private static async Task RefusesAsync(NodeProcess edge, string expected, params string[] arguments)
    {
        (int exitCode, _, string error) = await EdgeStreamProgram.RunAsync([.. arguments, "--socket", edge.Socket]);
        Assert.Equal(1, exitCode);
        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.Single(error.Trim().Split('\n'));
    }
}
