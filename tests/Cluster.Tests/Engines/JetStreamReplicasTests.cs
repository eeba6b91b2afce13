using System.Globalization;
using EdgeStream.Client;
using EdgeStream.Cluster.Engines.JetStream;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Topology;
using EdgeStream.ClusterTesting;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using NATS.Client.Core;
using NATS.Client.JetStream;
using NATS.Client.JetStream.Models;
using Partition = EdgeStream.Cluster.Spu.Partition;
using TopicSettings = EdgeStream.Cluster.Topology.TopicSettings;

namespace EdgeStream.Cluster.Tests.Engines;

/// <summary>Replicas of a topic that is there: changed while records come in, and shown.</summary>
public sealed class JetStreamReplicasTests(NatsFixture nats) : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Replicas_come_and_go_under_a_writer_and_no_record_is_lost()
    {
        NatsCluster cluster = await nats.ClusterAsync();
        await using NodeParts node = await StartAsync(cluster.Urls);
        IPartitionLog log = await CreateAsync(node, replicas: 1);
        await using var connection = new NatsConnection(new NatsOpts { Url = cluster.Urls[0] });
        string stream = StreamNames.Of(node.Controller.Current.ClusterId, new PartitionId("t", 0)).Stream;
        using var stop = new CancellationTokenSource();
        int written = 0;
        Task writing = Task.Run(async () =>
        {
            for (int i = 0; !stop.IsCancellationRequested; i++)
            {
                Assert.Equal(i, (await log.AppendAsync(Batches.Of(i.ToString(CultureInfo.InvariantCulture)), AckLevel.Durable)).BaseOffset);
                Volatile.Write(ref written, i + 1);
            }
        });

        await GoesOnAsync();
        foreach (int replicas in (int[])[3, 1, 3])
        {
            await node.Controller.AlterTopicAsync("t", settings => settings with { Replicas = replicas });
            Assert.Equal(replicas, node.Controller.Current.Topics["t"].Settings.Replicas);
            await GoesOnAsync();
            StreamInfo? info = null;
            await Condition.WaitAsync(
                () => $"the stream has {replicas} replicas that are current, not {info?.Config.NumReplicas}: {string.Join(", ", info?.Cluster?.Replicas ?? [])}",
                async () =>
                {
                    await node.Spu.ReopenAsync(node.Controller.Current);
                    info = (await new NatsJSContext(connection).GetStreamAsync(stream)).Info;
                    return info.Config.NumReplicas == replicas && (info.Cluster!.Replicas?.Count(peer => peer.Current) ?? 0) == replicas - 1;
                });
        }

        IReadOnlyList<ReplicaState> states = await log.FindReplicasAsync(CancellationToken.None);
        Assert.Equal(["n1", "n2", "n3"], states.Select(state => state.Server).Order());
        Assert.Equal([true, false, false], states.Select(state => state.IsLeader));
        await stop.CancelAsync();
        await writing.InTimeAsync();
        Assert.Null(log.Failure);
        Assert.Equal(Enumerable.Range(0, written).Select(i => i.ToString(CultureInfo.InvariantCulture)), await Batches.ReadValuesAsync(log));

        async Task GoesOnAsync()
        {
            int before = Volatile.Read(ref written);
            await Condition.WaitAsync(
                () => $"records go on to be stored: {log.Problem}", () => Task.FromResult(Volatile.Read(ref written) > before + 50 || writing.IsFaulted));
            Assert.False(writing.IsFaulted, writing.Exception?.ToString());
        }
    }

    [Fact]
    public async Task Topic_is_refused_while_a_server_is_away_that_it_needs()
    {
        using var cluster = new NatsCluster(_directory.Path);
        await cluster.StartAsync();
        await cluster.WaitUntilHealthyAsync(TimeSpan.FromSeconds(30));
        await using NodeParts node = await StartAsync(cluster.Urls);
        await CreateAsync(node, replicas: 3);
        cluster.Servers[2].Process.Signal("TERM");

        // Until the others know that it is away, or while they choose who of them answers, topics are made.
        ClusterException? refused = null;
        int made = 0;
        await Condition.WaitAsync(
            () => $"the others know that it is away: {refused?.Message}",
            async () =>
            {
                string name = string.Create(CultureInfo.InvariantCulture, $"u{made++}");
                refused = await Record.ExceptionAsync(() => node.Controller.CreateTopicAsync(name, 1, new TopicSettings { Replicas = 3 })) as ClusterException;
                return refused?.Message.StartsWith("3 replicas need as many NATS servers", StringComparison.Ordinal) == true;
            });
        Assert.DoesNotContain(string.Create(CultureInfo.InvariantCulture, $"u{made - 1}"), node.Controller.Current.Topics.Keys);
    }

    [Fact]
    public async Task More_replicas_than_servers_leave_the_topic_as_it_was()
    {
        await using NodeParts node = await StartAsync([(await nats.SingleAsync()).Url]);
        IPartitionLog log = await CreateAsync(node, replicas: 1);
        var refused = await Assert.ThrowsAsync<ClusterException>(() => node.Controller.AlterTopicAsync("t", settings => settings with { Replicas = 3 }));
        Assert.Contains("3 replicas need as many NATS servers", refused.Message, StringComparison.Ordinal);
        refused = await Assert.ThrowsAsync<ClusterException>(() => node.Controller.AlterTopicAsync("t", settings => settings with { Replicas = 0 }));
        Assert.Contains("1 to 5 replicas", refused.Message, StringComparison.Ordinal);
        Assert.Equal(1, node.Controller.Current.Topics["t"].Settings.Replicas);
        await log.AppendAsync(Batches.Of("a"), AckLevel.Durable);
        Assert.Empty(await log.FindReplicasAsync(CancellationToken.None));
    }

    [Fact]
    public async Task Replicas_that_two_servers_have_no_room_for_leave_the_partition_in_use_over_a_restart()
    {
        using var cluster = new NatsCluster(_directory.Path);
        foreach (NatsServer small in cluster.Servers.Skip(1))
            small.Configure(maxFileStore: "8MB");

        await cluster.StartAsync();
        await cluster.WaitUntilHealthyAsync(TimeSpan.FromSeconds(30));
        await using (NodeParts node = await StartAsync(cluster.Urls))
        {
            IPartitionLog log = await CreateAsync(node, replicas: 1, retentionBytes: 100_000_000);
            await log.AppendAsync(Batches.Of("a"), AckLevel.Durable);

            // It is to be so, and the answer says that it is not yet.
            Topic answer = await AlterAsync(node, replicas: 3);
            Assert.Equal((3, 1), (answer.Settings.Replicas, answer.PartitionsPending));
            await ShowsAsync(node);
            Assert.Equal(0, (await AlterAsync(node, replicas: 1)).PartitionsPending);
            await AlterAsync(node, replicas: 3);
        }

        await using NodeParts again = await StartAsync(cluster.Urls);
        await ShowsAsync(again);
        IPartitionLog opened = again.Controller.GetPartition("t", 0).Log;
        await opened.AppendAsync(Batches.Of("b"), AckLevel.Durable);
        Assert.Equal(["a", "b"], await Batches.ReadValuesAsync(opened));

        static Task ShowsAsync(NodeParts node) => Condition.WaitAsync(
            () => $"the partition is open and says that there is no room: {node.Controller.GetPartition("t", 0).Problem}",
            async () =>
            {
                await node.Spu.ReopenAsync(node.Controller.Current);
                Partition partition = node.Controller.GetPartition("t", 0);
                return partition.IsOpen && partition.Problem?.Contains("fewer with room", StringComparison.Ordinal) == true;
            });
    }

    [Fact]
    public async Task Answer_to_a_change_says_when_all_partitions_have_the_replicas()
    {
        await using NodeParts node = await StartAsync((await nats.ClusterAsync()).Urls);
        await CreateAsync(node, replicas: 1);
        int? pending = null;
        await Condition.WaitAsync(
            () => $"three servers have it: {pending} pending",
            async () => (pending = (await AlterAsync(node, replicas: 3)).PartitionsPending) == 0);
        IReadOnlyList<ReplicaState> states = await node.Controller.GetPartition("t", 0).Log.FindReplicasAsync(CancellationToken.None);
        Assert.Equal(3, states.Count(state => state.IsCurrent));
    }

    [Fact]
    public async Task Log_of_one_machine_has_one_replica()
    {
        await using NodeParts node = await NodeParts.StartAsync(_directory.At("log"), isHub: true);
        await node.Controller.CreateTopicAsync("t", 1, new TopicSettings());
        var refused = await Assert.ThrowsAsync<ClusterException>(() => node.Controller.AlterTopicAsync("t", settings => settings with { Replicas = 2 }));
        Assert.Contains("storage.engine = \"jetstream\"", refused.Message, StringComparison.Ordinal);
        await node.Controller.AlterTopicAsync("t", settings => settings with { Replicas = 1, RetentionAge = TimeSpan.FromHours(1) });
        Assert.Empty(await node.Controller.GetPartition("t", 0).Log.FindReplicasAsync(CancellationToken.None));
    }

    /// <summary>Over its API, as the command does.</summary>
    private async Task<Topic> AlterAsync(NodeParts node, int replicas)
    {
        string socket = _directory.At($"{Guid.NewGuid():N}");
        await using NodeServer server = await NodeServer.StartAsync(
            node,
            kestrel => kestrel.ListenUnixSocket(socket, endpoint => endpoint.Protocols = HttpProtocols.Http2),
            services => services.AddSingleton<ICallerAuthenticator, NoAuthenticator>());
        using var client = new EdgeStreamClient(new ClientOptions { Endpoint = $"unix:{socket}" });
        return await client.CallAsync(one => one.ControlPlane.AlterTopicAsync(new AlterTopicRequest { Name = "t", Replicas = replicas }));
    }

    private Task<NodeParts> StartAsync(IReadOnlyList<string> servers) =>
        NodeParts.StartAsync(_directory.At("hub"), isHub: true, engine: EngineUnderTest.JetStream(_directory.At("hub"), servers));

    /// <summary>As often as it takes: servers that have just started have no leader yet.</summary>
    private static async Task<IPartitionLog> CreateAsync(NodeParts node, int replicas, long? retentionBytes = null)
    {
        string? problem = null;
        await Condition.WaitAsync(
            () => $"the topic can be made and opens: {problem}",
            async () =>
            {
                try
                {
                    if (!node.Controller.Current.Topics.ContainsKey("t"))
                        await node.Controller.CreateTopicAsync("t", 1, new TopicSettings { Replicas = replicas, RetentionBytes = retentionBytes });

                    await node.Spu.ReopenAsync(node.Controller.Current);
                    problem = node.Controller.GetPartition("t", 0).Problem;
                    return node.Controller.GetPartition("t", 0).IsOpen;
                }
                catch (ClusterException early)
                {
                    problem = early.Message;
                    return false;
                }
            });
        return node.Controller.GetPartition("t", 0).Log;
    }
}
