using System.Diagnostics;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using System.Text.RegularExpressions;
using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Harness.Cluster;
using EdgeStream.Protocol.V1;
using Grpc.Core;
using Grpc.Net.Client;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>Two SCs and two SPUs on three nats-servers, for all tests of the class: each leaves them as it has found them.</summary>
public sealed class ClusterFixture : IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();

    public ClusterFixture() => Cluster = new ClusterProcesses(_directory.Path);

    public ClusterProcesses Cluster { get; }

    public string At(string name) => _directory.At(name);

    public async ValueTask InitializeAsync()
    {
        try
        {
            await Cluster.StartAsync(new ClusterSize { Controllers = 2, Spus = 2 });
        }
        catch (Exception error)
        {
            throw new InvalidOperationException($"the cluster does not start: {error.Message}\n{Cluster.Output()}", error);
        }
    }

    public ValueTask DisposeAsync()
    {
        Cluster.Dispose();
        _directory.Dispose();
        return ValueTask.CompletedTask;
    }
}

/// <summary>A cluster as its operator sees it.</summary>
public sealed class ClusterTests(ClusterFixture fixture) : IClassFixture<ClusterFixture>
{
    private const string Mirrored = ClusterProcesses.MirrorTopic;

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    private ClusterProcesses Cluster => fixture.Cluster;

    [Fact(Timeout = 300_000)]
    public async Task Geo_locations_are_shown_with_link_lag_and_last_contact_whichever_spus_they_are_at()
    {
        DateTimeOffset began = DateTimeOffset.UtcNow;
        NodeProcess slow = await Cluster.AddEdgeAsync("slow", topic: "live = true", uplink: "bandwidth = \"16kbit/s\"");
        NodeProcess quick = await Cluster.AddEdgeAsync("quick", topic: "live = true", uplink: "bandwidth = \"32kbit/s\"");
        await ProduceAsync(slow, Readings("oven", 300));
        await ProduceAsync(quick, Readings("pump", 30));

        // One of them moves, where both were at the same SPU.
        using EdgeStreamClient admin = Cluster.Connect("admin");
        await ClusterProcesses.WaitUntilAsync(admin, "each SPU serves one of them", topology =>
            topology.Topics.Where(topic => topic.Name == Mirrored).SelectMany(topic => topic.Partitions).Where(partition => partition.GeoLocation is "slow" or "quick")
                .Select(partition => partition.LeaderSpu).Distinct().Count() == 2);
        await ListsAsync("slow", row =>
            Text(row, "state") == "online" && Number(row, "behind_bytes") > 0 && Number(row, "behind_ms") > 0 && row.GetProperty("last_seen").GetDateTimeOffset() > began);
        await ListsAsync("quick", row =>
            Text(row, "state") == "online" && Number(row, "records") == 30 && Number(row, "behind_bytes") == 0 && row.GetProperty("last_seen").GetDateTimeOffset() > began);
        string shown = await Cluster.CommandAsync("geo", "show", "slow");
        Assert.Contains("geo-location: slow, online", shown, StringComparison.Ordinal);
        Assert.Matches(@"last seen: \d{4}-", shown);
        Assert.Matches("behind: [1-9]", shown);

        // From all SPUs, ahead of the backlog.
        await ShowsAsync("latest readings -o json", json => json.RootElement.EnumerateArray()
            .Select(row => $"{Text(row, "geo")}/{Text(row, "key")}").Order().SequenceEqual(["quick/pump", "slow/oven"]));

        DateTimeOffset lastSeen = default;
        slow.Kill();
        await ListsAsync("slow", row => Text(row, "state") == "offline" && (lastSeen = row.GetProperty("last_seen").GetDateTimeOffset()) > began);
        await ListsAsync("quick", row => Text(row, "state") == "online");
        await quick.Process.StopAsync();
        await ListsAsync("quick", row => Text(row, "state") == "offline");
        await ListsAsync("slow", row => row.GetProperty("last_seen").GetDateTimeOffset() == lastSeen);
        await Cluster.CommandAsync("topic", "delete", Mirrored, "--yes");
    }

    [Fact(Timeout = 300_000)]
    public async Task Revoked_geo_location_is_out_within_seconds_and_its_card_is_refused_everywhere()
    {
        NodeProcess edge = await Cluster.AddEdgeAsync("lost");
        await ProduceAsync(edge, ["a", "b"]);
        await ListsAsync("lost", row => Text(row, "state") == "online" && Number(row, "records") == 2);
        NodeProcess home = Assert.Single(Cluster.Spus, spu => spu.Process.Output.Contains("lost is connected", StringComparison.Ordinal));
        Assert.DoesNotContain("lost is disconnected", home.Process.Output, StringComparison.Ordinal);

        long began = Stopwatch.GetTimestamp();
        await Cluster.CommandAsync("geo", "revoke", "lost");
        await home.Process.WaitForLineAsync("lost is disconnected");
        TimeSpan took = Stopwatch.GetElapsedTime(began);
        Assert.True(took < TimeSpan.FromSeconds(10), $"the uplink has ended after {took.TotalSeconds:0.0} s");
        await SmallCluster.UntilAsync(edge, "it says why it is offline", status =>
            status.Uplinks.Any(uplink => !uplink.Connected && uplink.LastError.Contains("'lost' was revoked", StringComparison.Ordinal)));
        await ListsAsync("lost", row => Text(row, "state") == "revoked" && Text(row, "problem")?.Contains("was revoked", StringComparison.Ordinal) == true);

        ClusterMember active = await Cluster.ActiveControllerAsync();
        foreach (string endpoint in (await TopologyAsync()).Spus.SelectMany(spu => spu.Endpoints).Append(EndpointOf(active.Name)))
            await RefusesCardAsync(edge, endpoint);

        await active.StopAsync();
        ClusterMember other = await Cluster.ActiveControllerAsync(besides: active);
        await RefusesCardAsync(edge, EndpointOf(other.Name));
        await active.StartAsync();
        await IsWellAsync();
        Assert.Equal("a\nb", await Cluster.CommandAsync("consume", Mirrored, "--geo", "lost", "-B", "-d"));
        await edge.Process.StopAsync();
        await Cluster.CommandAsync("topic", "delete", Mirrored, "--yes");
    }

    [Fact(Timeout = 300_000)]
    public async Task Partitions_are_led_by_whom_a_file_assigns_them_to_through_the_end_of_spu_and_sc()
    {
        string file = fixture.At("assign.json");
        foreach ((string assignment, string[] more, string refusal) in ((string, string[], string)[])
        [
            ("""{"partitions":[{"spu":1},{"spu":9}]}""", [], "partition 1 is assigned to SPU 9, which the cluster does not know; it has 1, 2"),
            ("""{"partitions":[{"spu":1},{"spu":2}]}""", ["--partitions", "3"], "2 partitions are assigned and 3 asked for; leave --partitions out"),
            ("""{"partitions":[{"spu":1}]}""", ["--mirror"], "cannot be assigned; leave --assign out"),
            ("""{"partitions":[{"spu":"one"}]}""", [], "partition 0 is {\"spu\":\"one\"}; write the id of its SPU, for instance {\"spu\":1}"),
            ("""{"partitions":[{"spu":1,"replicas":3}]}""", [], "partition 0 is {\"spu\":1,\"replicas\":3}; write the id of its SPU"),
            ("""{"partitions":[]}""", [], "names no partitions"),
            ("no json", [], "is no JSON"),
        ])
        {
            await File.WriteAllTextAsync(file, assignment, Cancelled);
            (int exitCode, _, string error) = await EdgeStreamProgram.RunAsync(["topic", "create", "orders", "--assign", file, .. more, .. Cluster.ConnectArguments()]);
            Assert.Equal(1, exitCode);
            Assert.Contains(refusal, Assert.Single(error.Trim().Split('\n')), StringComparison.Ordinal);
        }

        Assert.DoesNotContain((await TopologyAsync()).Topics, topic => topic.Name == "orders");
        await File.WriteAllTextAsync(file, """{"partitions":[{"spu":2},{"spu":2},{"spu":2},{"spu":1}]}""", Cancelled);
        await Cluster.CommandAsync("topic", "create", "orders", "--assign", file);
        await IsLedByAsync([2, 2, 2, 1]);

        await Cluster["spu2"].StopAsync();
        await IsLedByAsync([1, 1, 1, 1]);
        await Cluster["spu2"].StartAsync();
        await IsLedByAsync([2, 2, 2, 1]);

        ClusterMember active = await Cluster.ActiveControllerAsync();
        active.Kill();
        await Cluster.ActiveControllerAsync(besides: active);
        await IsLedByAsync([2, 2, 2, 1]);

        // As it was stored: by the SC that has read it.
        await Cluster["spu2"].StopAsync();
        await IsLedByAsync([1, 1, 1, 1]);
        await Task.WhenAll(Cluster["spu2"].StartAsync(), active.StartAsync());
        await IsLedByAsync([2, 2, 2, 1]);
        await Cluster.CommandAsync("topic", "delete", "orders", "--yes");
        await IsWellAsync();

        Task IsLedByAsync(int[] leaders) => ShowsAsync("partition list -o json", json =>
        {
            JsonElement[] rows = [.. json.RootElement.EnumerateArray().Where(row => Text(row, "topic") == "orders")];
            return rows.All(row => Text(row, "problem") is null) && rows.Select(row => Number(row, "leader")).SequenceEqual(leaders.Select(leader => (long)leader));
        });
    }

    [Fact(Timeout = 300_000)]
    public async Task Metrics_tell_which_sc_is_active_who_is_there_and_who_leads_what()
    {
        await Cluster.CommandAsync("topic", "create", "measured", "--partitions", "4");
        ClusterMember active = await Cluster.ActiveControllerAsync();
        NodeProcess sc = Cluster.Controllers.Single(one => one.Name == active.Name), standby = Cluster.Controllers.Single(one => one.Name != active.Name);
        await HasAsync(sc, ("sc_active", 1), ("sc_spus_online", 2), ("spu_registered", null), ("spu_partitions_led", null));
        await HasAsync(standby, ("sc_active", 0), ("sc_spus_online", null), ("spu_registered", null), ("spu_partitions_led", null));
        Topology topology = await TopologyAsync();
        foreach (NodeProcess spu in Cluster.Spus)
        {
            int led = topology.Topics.Sum(topic => topic.Partitions.Count(partition => $"spu{partition.LeaderSpu}" == spu.Name));
            Assert.True(led >= 2);
            await HasAsync(spu, ("sc_active", null), ("sc_spus_online", null), ("spu_registered", 1), ("spu_partitions_led", led));
        }

        await Cluster["spu2"].StopAsync();
        await HasAsync(sc, ("sc_active", 1), ("sc_spus_online", 1));
        int all = (await TopologyAsync()).Topics.Sum(topic => topic.Partitions.Count);
        await HasAsync(Spu("spu1"), ("spu_registered", 1), ("spu_partitions_led", all));

        await Task.WhenAll(Cluster["sc1"].StopAsync(), Cluster["sc2"].StopAsync());
        await HasAsync(Spu("spu1"), ("spu_registered", 0), ("spu_partitions_led", all));
        await Task.WhenAll(Cluster["sc1"].StartAsync(), Cluster["sc2"].StartAsync(), Cluster["spu2"].StartAsync());
        await IsWellAsync();
        await Cluster.CommandAsync("topic", "delete", "measured", "--yes");
        await HasAsync(Spu("spu2"), ("spu_registered", 1));
    }

    /// <summary>A kilobyte each on the wire.</summary>
    private static IEnumerable<string> Readings(string key, int count) =>
        Enumerable.Range(0, count).Select(i => $"{key}:{i} {Convert.ToHexString(RandomNumberGenerator.GetBytes(1000))}");

    private static string? Text(JsonElement row, string column) => row.GetProperty(column).GetString();

    private static long Number(JsonElement row, string column) => row.GetProperty(column).GetInt64();

    private static async Task HasAsync(NodeProcess node, params (string Gauge, int? Value)[] expected)
    {
        using var http = new HttpClient();
        var metrics = new Uri(await node.HttpAsync(), "/metrics");
        string text = "";
        await Condition.WaitAsync(
            () => $"{node.Name} tells {string.Join(", ", expected)}:\n{text}",
            async () =>
            {
                text = await http.GetStringAsync(metrics);
                return expected.All(one => Regex.Match(text, $"^edgestream_{one.Gauge} (\\d+)$", RegexOptions.Multiline) is var found
                    && (one.Value is { } value ? found.Success && found.Groups[1].Value == $"{value}" : !found.Success));
            },
            TimeSpan.FromSeconds(60));
    }

    /// <summary>That a node refuses the card of an edge, whatever it is shown it for.</summary>
    private static async Task RefusesCardAsync(NodeProcess edge, string endpoint)
    {
        string identity = Assert.Single(Directory.GetDirectories(Path.Combine(edge.Data, "identity")));
        using X509Certificate2 certificate = X509Certificate2.CreateFromPemFile(Path.Combine(identity, "edge.crt"), Path.Combine(identity, "edge.key"));
        using X509Certificate2 authority = X509CertificateLoader.LoadCertificateFromFile(Path.Combine(identity, "hub-ca.crt"));
        using GrpcChannel channel = EndpointChannel.Open(endpoint, new ClientOptions { Endpoints = [endpoint], Certificate = certificate, Authority = authority });
        var mirror = new EdgeStream.Protocol.V1.Mirror.MirrorClient(channel);
        await RefusesAsync(async () => await mirror.LocateAsync(new LocateRequest(), deadline: DateTime.UtcNow.AddSeconds(30)));
        await RefusesAsync(async () => await mirror.ListMirroredAsync(new ListMirroredRequest(), deadline: DateTime.UtcNow.AddSeconds(30)));

        async Task RefusesAsync(Func<Task> call)
        {
            var refused = await Assert.ThrowsAsync<RpcException>(call);
            Assert.Equal("UNAUTHENTICATED", refused.Trailers.GetValue("edgestream-error"));
            Assert.Contains("geo-location 'lost' was revoked", refused.Status.Detail, StringComparison.Ordinal);
        }
    }

    private async Task ProduceAsync(NodeProcess edge, IEnumerable<string> lines)
    {
        string file = fixture.At($"records-{edge.Name}");
        await File.WriteAllLinesAsync(file, lines, Cancelled);
        await edge.CommandAsync("produce", Mirrored, "--file", file, "--key-separator", ":");
    }

    private Task ListsAsync(string geo, Func<JsonElement, bool> condition) => ShowsAsync(
        "geo list -o json", json => json.RootElement.EnumerateArray().Where(row => Text(row, "geo") == geo).Select(condition).SingleOrDefault());

    private async Task ShowsAsync(string command, Func<JsonDocument, bool> condition)
    {
        string shown = "";
        await Condition.WaitAsync(
            () => $"'{command}' shows it: {shown}\n{Cluster.Output()}",
            async () =>
            {
                (int exitCode, string output, string error) = await EdgeStreamProgram.RunAsync([.. command.Split(' '), .. Cluster.ConnectArguments()]);
                shown = output + error;
                if (exitCode != 0)
                    return false;

                using JsonDocument json = JsonDocument.Parse(output);
                return condition(json);
            },
            TimeSpan.FromSeconds(90));
    }

    private async Task<Topology> TopologyAsync()
    {
        using EdgeStreamClient client = Cluster.Connect("admin");
        return await client.GetTopologyAsync();
    }

    private async Task IsWellAsync()
    {
        using EdgeStreamClient client = Cluster.Connect("admin");
        await Cluster.WaitUntilWellAsync(client);
    }

    private NodeProcess Spu(string name) => Cluster.Spus.Single(spu => spu.Name == name);

    private string EndpointOf(string controller) => Cluster.ControllerEndpoints[int.Parse(controller[2..], System.Globalization.CultureInfo.InvariantCulture) - 1];
}
