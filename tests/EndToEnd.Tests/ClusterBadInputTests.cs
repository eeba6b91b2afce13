using System.Text;
using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;
using NATS.Client.Core;
using NATS.Client.JetStream;
using NATS.Client.JetStream.Models;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>
/// What may be wrong around an SC and an SPU: each says so in one line and not again and again, stays up, and goes on by itself when it is
/// mended; nothing that was acknowledged is lost.
/// </summary>
public sealed class ClusterBadInputTests
{
    private const string Topic = "orders";

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact(Timeout = 300_000)]
    public async Task Nats_that_is_away_at_the_start_or_later_is_waited_for()
    {
        using var cluster = new SmallCluster();
        string reason = $"NATS at {cluster.Nats.Url}: no server can be reached";
        await cluster.Controller.StartAsync();
        NodeProcess spu = await cluster.StartSpuAsync(1);
        foreach (NodeProcess node in (NodeProcess[])[cluster.Controller, spu])
        {
            await SmallCluster.UntilAsync(node, "it has tried for a while", status => status.UptimeSeconds >= 6 && HasProblem(status, reason));
            SmallCluster.IsLoggedOnce(node, reason);
        }

        await cluster.Nats.StartAsync();
        await IsWellAsync(cluster, spu);
        await cluster.CommandAsync("topic", "create", Topic);
        using EdgeStreamClient client = await cluster.ConnectAsync();
        await using Producer producer = await client.ProduceAsync(Topic);
        Assert.Equal(0, await await producer.SendAsync(Value("before"), Cancelled));

        cluster.Nats.Kill();
        Task<long> waiting = await producer.SendAsync(Value("meanwhile"), Cancelled);
        await SmallCluster.UntilAsync(cluster.Controller, "it stands by, and says why", status => !status.ScActive && HasProblem(status, $"NATS at {cluster.Nats.Url}"));
        Assert.False(waiting.IsCompleted);
        await cluster.Nats.StartAsync();
        Assert.Equal(1, await waiting);
        await IsWellAsync(cluster, spu);
        Assert.Equal("before\nmeanwhile", await cluster.CommandAsync("consume", Topic, "-B", "-d"));
    }

    [Fact(Timeout = 300_000)]
    public async Task Nats_without_jetstream_is_named_as_the_reason()
    {
        using var cluster = new SmallCluster();
        cluster.Nats.Configure(jetStream: false);
        await cluster.Nats.StartAsync();
        await cluster.Controller.StartAsync();
        NodeProcess spu = await cluster.StartSpuAsync(1);
        const string Reason = "JetStream is not enabled there; start nats-server with a jetstream { store_dir } block";
        foreach (NodeProcess node in (NodeProcess[])[cluster.Controller, spu])
        {
            await SmallCluster.UntilAsync(node, "it has tried for a while", status => status.UptimeSeconds >= 6 && HasProblem(status, Reason));
            SmallCluster.IsLoggedOnce(node, Reason);
        }

        cluster.Nats.Kill();
        cluster.Nats.Configure(jetStream: true);
        await cluster.Nats.StartAsync();
        await IsWellAsync(cluster, spu);
    }

    [Fact(Timeout = 300_000)]
    public async Task Nats_that_is_too_old_is_named_with_the_version_that_will_do()
    {
        using var old = new OldNats("2.8.4");
        using var cluster = new SmallCluster(old.Url);
        await cluster.Controller.StartAsync();
        string reason = $"NATS at {old.Url}: the server has version 2.8.4, and 2.9.0 is the oldest that will do; update it";
        await SmallCluster.UntilAsync(cluster.Controller, "it has tried several times", status => old.Connections >= 4 && HasProblem(status, reason));
        SmallCluster.IsLoggedOnce(cluster.Controller, reason);
    }

    [Theory(Timeout = 300_000)]
    [InlineData("edgestream-edgestream-meta")]
    [InlineData("edgestream-edgestream-sc")]
    public async Task Foreign_bucket_of_the_metadata_s_name_is_refused_and_left_alone(string bucket)
    {
        using var cluster = new SmallCluster();
        await cluster.Nats.StartAsync();
        await using var nats = new NatsConnection(new NatsOpts { Url = cluster.Nats.Url });
        var jetStream = new NatsJSContext(nats);
        await jetStream.CreateStreamAsync(new StreamConfig($"KV_{bucket}", [$"$KV.{bucket}.>"]) { Description = "somebody's", MaxMsgsPerSubject = 1 }, Cancelled);
        foreach (string key in (string[])["authority", "active", "cluster"])
            (await jetStream.PublishAsync($"$KV.{bucket}.{key}", Encoding.UTF8.GetBytes("not yours"), cancellationToken: Cancelled)).EnsureSuccess();

        await cluster.Controller.StartAsync();
        string reason = $"the NATS key-value bucket '{bucket}' is not this hub's; delete it there, or use another NATS account";
        NodeStatus status = await SmallCluster.UntilAsync(
            cluster.Controller, "it has tried for a while", status => status.UptimeSeconds >= 6 && HasProblem(status, reason));
        Assert.False(status.ScActive);
        SmallCluster.IsLoggedOnce(cluster.Controller, reason);
        StreamInfo left = (await jetStream.GetStreamAsync($"KV_{bucket}", cancellationToken: Cancelled)).Info;
        Assert.Equal(("somebody's", 3), (left.Config.Description, left.State.Messages));

        await jetStream.DeleteStreamAsync($"KV_{bucket}", Cancelled);
        await SmallCluster.UntilAsync(cluster.Controller, "it is the active one", status => status.ScActive && status.Problems.Count == 0);
    }

    [Fact(Timeout = 300_000)]
    public async Task Foreign_stream_of_a_partition_s_name_is_refused_and_left_alone()
    {
        using var cluster = new SmallCluster();
        NodeProcess spu = await cluster.StartAsync();
        using EdgeStreamClient client = await cluster.ConnectAsync();
        string id = (await client.GetTopologyAsync()).ClusterId[..12], stream = $"edgestream-{id}-{Topic}-0";
        await using var nats = new NatsConnection(new NatsOpts { Url = cluster.Nats.Url });
        var jetStream = new NatsJSContext(nats);
        await jetStream.CreateStreamAsync(new StreamConfig(stream, [$"edgestream.{id}.{Topic}.0.*"]) { Description = "somebody's" }, Cancelled);
        await cluster.CommandAsync("topic", "create", Topic, "--partitions", "2");

        string reason = $"the NATS stream '{stream}', or its subjects";
        await SmallCluster.UntilAsync(spu, "it has tried for a while", status =>
            status.UptimeSeconds >= 8 && HasProblem(status, reason) && status.Partitions.Count(partition => partition.Problem.Length == 0) == 1);
        SmallCluster.IsLoggedOnce(spu, reason);
        Assert.Contains("delete that stream, or use another NATS account", await cluster.CommandAsync("partition", "list"), StringComparison.Ordinal);
        Assert.Equal("somebody's", (await jetStream.GetStreamAsync(stream, cancellationToken: Cancelled)).Info.Config.Description);
        await ProduceAsync(cluster, partition: 1, "other");

        await jetStream.DeleteStreamAsync(stream, Cancelled);
        await IsWellAsync(cluster, spu);
        await ProduceAsync(cluster, partition: 0, "own");
        Assert.Equal("own", await cluster.CommandAsync("consume", Topic, "-p", "0", "-B", "-d"));
    }

    [Fact(Timeout = 300_000)]
    public async Task Nats_without_room_refuses_producers_loses_nothing_and_goes_on_when_there_is_room()
    {
        using var cluster = new SmallCluster();
        cluster.Nats.Configure(maxFileStore: "4MB");
        NodeProcess spu = await cluster.StartAsync();
        await cluster.CommandAsync("topic", "create", Topic);
        string file = cluster.At("records");
        await File.WriteAllLinesAsync(file, Enumerable.Range(0, 100).Select(i => $"{i} {new string('x', 100_000)}"), Cancelled);
        (int exitCode, _, string error) = await cluster.RunAsync("produce", Topic, "--file", file);
        Assert.Equal(1, exitCode);
        Assert.StartsWith("edgestream: no room in the NATS stream", error.Trim(), StringComparison.Ordinal);
        Assert.Contains("raise the topic's retention or the servers' max_file_store", Assert.Single(error.Trim().Split('\n')), StringComparison.Ordinal);

        // One by one, until it is full to the last: each that was acknowledged is there.
        using EdgeStreamClient client = await cluster.ConnectAsync();
        int stored = (await ReadAsync(cluster)).Length;
        await using (Producer producer = await client.ProduceAsync(Topic))
        {
            var full = await Assert.ThrowsAsync<ClientException>(async () =>
            {
                for (; stored < 1000; stored++)
                    Assert.Equal(stored, await await producer.SendAsync(Value($"{stored} {new string('y', 10_000)}"), Cancelled));
            });
            Assert.Equal(ErrorCode.StorageFull, full.Code);
        }

        // The SC is the active one still, though it can write nothing: who reads has to be told where.
        string room = $"NATS at {cluster.Nats.Url} has no room for";
        await SmallCluster.UntilAsync(cluster.Controller, "it says that there is no room", status => status.ScActive && HasProblem(status, room));
        await SmallCluster.UntilAsync(spu, "it says so as well", status => status.SpuRegistered && HasProblem(status, "no room in the NATS stream"));
        Assert.Equal(stored, (await ReadAsync(cluster)).Length);
        (exitCode, _, error) = await cluster.RunAsync("topic", "create", "more");
        Assert.Equal(1, exitCode);
        Assert.Contains($"{room} the topology", error, StringComparison.Ordinal);
        Assert.Contains("raise max_file_store there, or free some of it", error, StringComparison.Ordinal);

        cluster.Nats.Kill();
        cluster.Nats.Configure(maxFileStore: "64MB");
        await cluster.Nats.StartAsync();
        await SmallCluster.UntilAsync(cluster.Controller, "it has room", status => status.ScActive && !HasProblem(status, room));
        await ProduceAsync(cluster, partition: 0, $"{stored} last");
        await SmallCluster.UntilAsync(cluster.Controller, "nor has its SPU a problem", status => status.Problems.Count == 0);
        Assert.Equal(Enumerable.Range(0, stored + 1).Select(i => $"{i}"), await ReadAsync(cluster));
        await IsWellAsync(cluster, spu);
    }

    [Fact(Timeout = 300_000)]
    public async Task More_replicas_than_nats_servers_are_refused_and_no_topic_is_made()
    {
        using var cluster = new SmallCluster();
        await cluster.StartAsync();
        (int exitCode, _, string error) = await cluster.RunAsync("topic", "create", Topic, "--replicas", "3");
        Assert.Equal(1, exitCode);
        Assert.Contains("3 replicas need as many NATS servers with JetStream in one cluster", Assert.Single(error.Trim().Split('\n')), StringComparison.Ordinal);
        using EdgeStreamClient client = await cluster.ConnectAsync();
        Assert.Empty((await client.GetTopologyAsync()).Topics);
    }

    [Fact(Timeout = 300_000)]
    public async Task Second_process_with_an_spu_s_identity_waits_and_the_first_goes_on()
    {
        using var cluster = new SmallCluster();
        NodeProcess first = await cluster.StartAsync();
        await cluster.CommandAsync("topic", "create", Topic);
        await ProduceAsync(cluster, partition: 0, "a");
        NodeProcess second = await cluster.StartSpuAsync(1, "copy");
        const string Reason = "an SPU 1 is there already, at ";
        await SmallCluster.UntilAsync(second, "it has tried for a while", status =>
            status.UptimeSeconds >= 6 && HasProblem(status, Reason) && HasProblem(status, "stop that one, or give this one an identity of its own"));
        SmallCluster.IsLoggedOnce(second, Reason);
        Assert.True((await SmallCluster.UntilAsync(first, "the first goes on", status => status.SpuRegistered)).Problems.Count == 0);
        await ProduceAsync(cluster, partition: 0, "b");
        SmallCluster.IsLoggedOnce(first, "registered with the active SC");

        Assert.Equal(0, await first.Process.StopAsync());
        await SmallCluster.UntilAsync(second, "the second takes over", status => status.SpuRegistered && status.Partitions.Count == 1 && status.Problems.Count == 0);
        Assert.Equal("a\nb", await cluster.CommandAsync("consume", Topic, "-B", "-d"));
    }

    private static bool HasProblem(NodeStatus status, string text) => status.Problems.Any(problem => problem.Contains(text, StringComparison.Ordinal));

    private static async Task IsWellAsync(SmallCluster cluster, NodeProcess spu)
    {
        await SmallCluster.UntilAsync(cluster.Controller, "it is the active one and well", status => status is { ScActive: true, Problems.Count: 0 });
        await SmallCluster.UntilAsync(spu, "it is registered and well", status => status is { SpuRegistered: true, Problems.Count: 0 });
    }

    private static async Task ProduceAsync(SmallCluster cluster, int partition, string line)
    {
        string file = cluster.At("line");
        await File.WriteAllTextAsync(file, line + "\n", Cancelled);
        await cluster.CommandAsync("produce", Topic, "--partition", $"{partition}", "--file", file);
    }

    /// <summary>The first word of each record.</summary>
    private static async Task<string[]> ReadAsync(SmallCluster cluster) =>
        [.. (await cluster.CommandAsync("consume", Topic, "-B", "-d")).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split(' ')[0])];

    private static Record Value(string text) => new(0, 0, null, Encoding.UTF8.GetBytes(text), []);
}
