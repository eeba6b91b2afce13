using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Engines;
using EdgeStream.Cluster.Engines.JetStream;
using EdgeStream.Cluster.Groups;
using EdgeStream.Cluster.Metadata.JetStream;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Tests.Engines;
using EdgeStream.Cluster.Tests.Metadata.JetStream;
using EdgeStream.Cluster.Topology;
using EdgeStream.Harness;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using NATS.Client.Core;
using NATS.Client.JetStream;

namespace EdgeStream.Cluster.Tests.Controller;

/// <summary>Topics of a cluster that are deleted while something is wrong: with the SC that does it, or with what the records are on.</summary>
public sealed class TopicDeletionTests(NatsFixture nats) : IAsyncLifetime
{
    private static readonly TopicSettings Plain = new();

    private readonly TempDirectory _temp = new();
    private readonly string _name = MetadataServers.NewName();
    private readonly List<Sc> _scs = [];
    private NatsServer _server = null!;
    private NatsServer? _own;
    private FaultyLink _link = null!;
    private NatsConnection _connection = null!;

    public async ValueTask InitializeAsync()
    {
        _server = await nats.SingleAsync();
        _link = new FaultyLink(_server.Port);
        _connection = new NatsConnection(new NatsOpts { Url = _server.Url });
    }

    public async ValueTask DisposeAsync()
    {
        foreach (Sc sc in _scs)
            await sc.DisposeAsync();

        await _connection.DisposeAsync();
        _link.Dispose();
        _own?.Dispose();
        _temp.Dispose();
    }

    [Fact]
    public async Task Sc_that_another_has_followed_deletes_nothing()
    {
        Sc old = await StartAsync();
        await old.CreateTopicAsync("t", 2, Plain);
        await WriteAsync(old, "t");
        Sc next = await StartAsync();
        await Assert.ThrowsAsync<TopologySupersededException>(() => old.Controller.DeleteTopicAsync("t").InTimeAsync());
        Assert.Equal(["a"], await ReadAsync(next, "t"));
        Assert.Contains("t", old.Controller.Current.Topics.Keys);
        Assert.Equal(2, await CountStreamsAsync(next));
    }

    [Fact]
    public async Task Topic_is_deleted_though_its_records_cannot_be_and_they_go_later()
    {
        Sc sc = await StartAsync();
        await sc.CreateTopicAsync("t", 2, Plain);
        await sc.CreateTopicAsync("other", 1, Plain);
        await WriteAsync(sc, "t");
        await WriteAsync(sc, "other");
        _link.Fault = LinkFault.Cut;
        await sc.Controller.DeleteTopicAsync("t").InTimeAsync();
        Assert.Equal(["other"], sc.Controller.Current.Topics.Keys);
        var refused = await Assert.ThrowsAsync<ClusterException>(() => sc.CreateTopicAsync("t", 1, Plain).InTimeAsync());
        Assert.Equal(ErrorCode.Unavailable, refused.Code);
        Assert.StartsWith("a topic 't' was deleted, and its records cannot be deleted now, which is tried again by itself: NATS at", refused.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<ClusterException>(() => sc.Controller.RemoveDeletedAsync().InTimeAsync());
        Assert.Equal(3, await CountStreamsAsync(sc));

        _link.Fault = LinkFault.None;
        await RemovesDeletedAsync(sc);
        Assert.Equal(1, await CountStreamsAsync(sc));
        Assert.Empty(sc.Store.LoadDeletedTopics());
        Assert.Equal(["a"], await ReadAsync(sc, "other"));
        await sc.CreateTopicAsync("t", 2, Plain);
        Assert.Empty(await ReadAsync(sc, "t"));
    }

    [Fact]
    public async Task What_an_sc_has_left_of_a_topic_its_successor_deletes_by_itself()
    {
        await DeleteWithoutRecordsAsync(partitions: 2);

        Sc next = await StartAsync();
        Assert.Empty(next.Controller.Current.Topics);
        Assert.Equal("t", Assert.Single(next.Store.LoadDeletedTopics()).Name);
        Assert.Equal(2, await CountStreamsAsync(next));
        await using ScActivity activity = await ScActivity.StartAsync(
            next.Controller, next.Spus, new GeoLocationPresence(TimeProvider.System), TimeProvider.System, NullLogger.Instance);
        await Eventually.HoldsAsync(() => next.Store.LoadDeletedTopics().Count == 0, "nothing is left of it");
        Assert.Equal(0, await CountStreamsAsync(next));
    }

    [Fact]
    public async Task Topic_of_the_same_name_never_finds_the_records_that_were_left()
    {
        await DeleteWithoutRecordsAsync(partitions: 1);

        // Before anybody has tidied.
        Sc next = await StartAsync();
        await next.CreateTopicAsync("t", 1, Plain);
        Assert.Empty(await ReadAsync(next, "t"));
        Assert.Empty(next.Store.LoadDeletedTopics());
        Assert.Equal("t", Assert.Single(next.Store.LoadTopics()).Name);
    }

    [Fact]
    public async Task Spu_that_serves_a_deleted_topic_still_does_not_pass_for_a_leader_of_the_new_one()
    {
        Sc sc = await StartAsync();
        await sc.CreateTopicAsync("t", 1, Plain);
        TopicInfo old = sc.Controller.Current.Topics["t"];
        await sc.Controller.DeleteTopicAsync("t");

        // Cut off from the SC, it makes the stream anew.
        await using IPartitionEngine ghosts = EngineUnderTest.JetStream(DirectoryOf("ghost"), [_server.Url]);
        await ghosts.StartAsync(sc.Controller.Current);
        IPartitionLog ghost = await ghosts.OpenAsync(new PartitionId("t", 0), old, old.Partitions[0]);
        await ghost.AppendAsync(Batches.Of("ghost"), AckLevel.Durable);

        await sc.CreateTopicAsync("t", 1, Plain);
        Assert.True(sc.Controller.Current.Topics["t"].Partitions[0].LeaderEpoch > old.Partitions[0].LeaderEpoch);
        await WriteAsync(sc, "t");
        await Assert.ThrowsAnyAsync<Exception>(() => ghost.AppendAsync(Batches.Of("ghost"), AckLevel.Durable).AsTask().InTimeAsync());
        await ghosts.CloseAsync(ghost);
        var refused = await Assert.ThrowsAnyAsync<ClusterException>(() => ghosts.OpenAsync(new PartitionId("t", 0), old, old.Partitions[0]).AsTask());
        Assert.Equal(ErrorCode.NotLeader, refused.Code);
    }

    [Fact]
    public async Task Topic_is_deleted_though_there_is_no_room_to_write_so()
    {
        await UseOwnServerAsync("max_mem: 64MB, max_file: 4MB");
        Sc sc = await StartAsync();
        await sc.CreateTopicAsync("t", 1, Plain);
        await OpenAsync(sc, "t", async log =>
        {
            while (await Record.ExceptionAsync(() => log.AppendAsync(Batches.Of(new string('x', 10_000)), AckLevel.Durable).AsTask()) is null)
            {
            }
        });
        var full = await Assert.ThrowsAsync<ClusterException>(() => sc.CreateTopicAsync("u", 1, Plain).InTimeAsync());
        Assert.Equal(ErrorCode.StorageFull, full.Code);

        await sc.Controller.DeleteTopicAsync("t").InTimeAsync();
        await sc.CreateTopicAsync("u", 1, Plain);
        Assert.Equal(["u"], sc.Controller.Current.Topics.Keys);
        Assert.Equal(["u"], sc.Store.LoadTopics().Select(topic => topic.Name));
    }

    /// <summary>Has a server of the test's own in the place of the one that all share.</summary>
    private async Task UseOwnServerAsync(string limits)
    {
        _own = new NatsServer(_temp.Sub("nats"), "own", jetStream: false, settings: $"jetstream {{ store_dir: \"{_temp.Sub("store")}\", {limits} }}");
        await _own.StartAsync();
        _link.Dispose();
        (_server, _link) = (_own, new FaultyLink(_own.Port));
    }

    /// <summary>An SC deletes a topic whose records it cannot reach; they can be reached again on return.</summary>
    private async Task DeleteWithoutRecordsAsync(int partitions)
    {
        Sc old = await StartAsync();
        await old.CreateTopicAsync("t", partitions, Plain);
        await WriteAsync(old, "t");
        _link.Fault = LinkFault.Cut;
        await old.Controller.DeleteTopicAsync("t").InTimeAsync();
        _link.Fault = LinkFault.None;
    }

    private static async Task RemovesDeletedAsync(Sc sc)
    {
        string problem = "";
        await Condition.WaitAsync(
            () => $"what is left is deleted: {problem}",
            async () =>
            {
                try
                {
                    await sc.Controller.RemoveDeletedAsync();
                    return true;
                }
                catch (ClusterException silent)
                {
                    problem = silent.Message;
                    return false;
                }
            });
    }

    private async Task<int> CountStreamsAsync(Sc sc)
    {
        int count = 0;
        await foreach (string stream in new NatsJSContext(_connection).ListStreamNamesAsync())
            count += stream.StartsWith($"edgestream-{sc.Store.ClusterId[..12]}-", StringComparison.Ordinal) ? 1 : 0;

        return count;
    }

    /// <summary>As an SPU does that is told to lead it.</summary>
    private async Task WriteAsync(Sc sc, string topic) => await OpenAsync(sc, topic, log => log.AppendAsync(Batches.Of("a"), AckLevel.Durable).AsTask());

    private async Task<List<string>> ReadAsync(Sc sc, string topic)
    {
        List<string> values = [];
        await OpenAsync(sc, topic, async log => values = await Batches.ReadValuesAsync(log));
        return values;
    }

    private async Task OpenAsync(Sc sc, string topic, Func<IPartitionLog, Task> use)
    {
        await using IPartitionEngine engine = EngineUnderTest.JetStream(DirectoryOf($"spu-{Guid.NewGuid():N}"), [_server.Url]);
        await engine.StartAsync(sc.Controller.Current);
        TopicInfo info = sc.Controller.Current.Topics[topic];
        foreach (PartitionInfo partition in info.Partitions)
        {
            IPartitionLog log = await engine.OpenAsync(new PartitionId(topic, partition.Number), info, partition);
            if (partition.Number == 0)
                await use(log);

            await engine.CloseAsync(log);
        }
    }

    private async Task<Sc> StartAsync()
    {
        // The metadata straight, the records by a link of their own.
        JetStreamTopologyStore store = await MetadataServers.OpenTopologyAsync(MetadataServers.At(_server.Url), _name);
        IPartitionEngine engine = EngineUnderTest.JetStream(DirectoryOf($"sc-{Guid.NewGuid():N}"), [$"nats://127.0.0.1:{_link.Port}"]);
        var state = new JetStreamSpuStateStore(MetadataServers.At(_server.Url), store.ClusterId, NullLogger.Instance);
        var spus = new SpuRegistry(engine, state, store.LoadSpus(), TimeProvider.System, store.Term);
        RegisteredSpu spu = spus.Register(new SpuInfo(1, ["https://spu1:9443"]), "process", "1.0");
        var sc = new Sc(store, engine, state, spus, spu, new StreamController(store, spus));
        _scs.Add(sc);
        await engine.StartAsync(sc.Controller.Current);
        await sc.Controller.StartAsync();
        return sc;
    }

    private string DirectoryOf(string name) => Directory.CreateDirectory(_temp.Sub(name)).FullName;

    private sealed record Sc(
        JetStreamTopologyStore Store, IPartitionEngine Engine, JetStreamSpuStateStore State, SpuRegistry Spus, RegisteredSpu Spu, StreamController Controller)
        : IAsyncDisposable
    {
        /// <summary>However long the test has taken by now, its SPU is there.</summary>
        public Task<TopicInfo> CreateTopicAsync(string name, int partitions, TopicSettings settings)
        {
            Spus.Report(Spu, long.MaxValue, "");
            return Controller.CreateTopicAsync(name, partitions, settings);
        }

        public async ValueTask DisposeAsync()
        {
            Controller.Dispose();
            await State.DisposeAsync();
            await Engine.DisposeAsync();
            await Store.DisposeAsync();
        }
    }
}
