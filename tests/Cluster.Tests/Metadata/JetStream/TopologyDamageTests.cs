using System.Text;
using EdgeStream.Cluster.Metadata.JetStream;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Tests.Engines;
using EdgeStream.Cluster.Topology;
using EdgeStream.ClusterTesting;
using EdgeStream.Harness;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using NATS.Client.Core;
using NATS.Client.JetStream;
using NATS.Client.JetStream.Models;

namespace EdgeStream.Cluster.Tests.Metadata.JetStream;

/// <summary>A topology's bucket to which others write, or that has lost some of what SCs have written.</summary>
public sealed class TopologyDamageTests(NatsFixture nats)
{
    private readonly KeptLog _log = new();

    [Fact]
    public async Task What_others_have_written_beside_it_is_passed_over_and_named()
    {
        await using Bucket bucket = await BucketAsync();
        await using (JetStreamTopologyStore store = await bucket.OpenAsync("kept"))
            await store.SaveTopicAsync(Topic("last"));

        foreach (string key in (string[])["notes.a", "topic.stranger", "notes.b", "notes.b", "z1", "z2", "z3", "z4"])
            await bucket.PutAsync(key);

        await bucket.DeleteAsync("z4");
        await using JetStreamTopologyStore again = await bucket.OpenAsync(logger: _log);
        Assert.Equal(["kept", "last"], again.LoadTopics().Select(topic => topic.Name));
        Assert.Contains("keys that no SC has written, which are passed over: notes.a, notes.b, topic.stranger, z1, z2 and 1 more", Assert.Single(_log.Lines), StringComparison.Ordinal);

        await again.SaveTopicAsync(Topic("stranger"));
        await using JetStreamTopologyStore third = await bucket.OpenAsync();
        Assert.Equal(["kept", "last", "stranger"], third.LoadTopics().Select(topic => topic.Name));
        Assert.True(third.Term > again.Term);
    }

    [Fact]
    public async Task What_others_have_written_last_may_be_deleted_there()
    {
        await using Bucket bucket = await BucketAsync();
        await (await bucket.OpenAsync("kept")).DisposeAsync();
        await bucket.PutAsync("notes");
        await bucket.PurgeAsync("notes");
        await using JetStreamTopologyStore again = await bucket.OpenAsync(logger: _log);
        Assert.Equal(["kept"], again.LoadTopics().Select(topic => topic.Name));
        Assert.Empty(_log.Lines);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task Sc_that_is_active_goes_on_and_writes_again_what_others_have_written_over(int replicas)
    {
        await using Bucket bucket = await BucketAsync(replicas);
        await using JetStreamTopologyStore store = await bucket.OpenAsync("one", "two", "three", logger: _log);
        await bucket.PutAsync("notes");
        await bucket.PutAsync("topic.one");
        await bucket.DeleteAsync("topic.two");
        await bucket.PutAsync("topic.four");
        await bucket.PutAsync("writer");
        await store.SaveTopicAsync(Topic("four"));
        await bucket.PutAsync("topic.three");
        await store.DeleteTopicAsync("three");
        Assert.False(store.Superseded.IsCancellationRequested);
        Assert.Contains("'topic.one' in", Assert.Single(_log.Lines, line => line.Contains("topic.one", StringComparison.Ordinal)), StringComparison.Ordinal);

        await using JetStreamTopologyStore again = await bucket.OpenAsync();
        Assert.Equal(["four", "one", "two"], again.LoadTopics().Select(topic => topic.Name));
        Assert.True(again.Term > store.Term);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task Sc_that_is_active_goes_on_where_others_have_written_the_same_key_again_and_again(int replicas)
    {
        await using Bucket bucket = await BucketAsync(replicas);
        await using JetStreamTopologyStore store = await bucket.OpenAsync(["one", "two"]);
        foreach (string key in (string[])["topic.one", "notes", "topic.one", "notes", "topic.one"])
            await bucket.PutAsync(key);

        await store.SaveTopicAsync(Topic("three"));
        Assert.False(store.Superseded.IsCancellationRequested);
        await using JetStreamTopologyStore again = await bucket.OpenAsync();
        Assert.Equal(["one", "three", "two"], again.LoadTopics().Select(topic => topic.Name));

        // Also where another SC has written among them.
        await bucket.PutAsync("notes");
        await bucket.PutAsync("notes");
        await Assert.ThrowsAsync<TopologySupersededException>(() => store.SaveTopicAsync(Topic("four")));
        await again.SaveTopicAsync(Topic("five"));
    }

    /// <summary>Together, because each waits until it is certain.</summary>
    [Fact(Timeout = 180_000)]
    public async Task What_is_lost_is_said_and_what_is_left_is_taken_when_that_is_asked_for()
    {
        await Task.WhenAll(
            LosesAsync(bucket => bucket.PutAsync("topic.b"), "'topic.b' was written by something that is no SC, over what an SC had written", "a", "c"),
            LosesAsync(bucket => bucket.DeleteAsync("topic.a"), "'topic.a' was written by something that is no SC, over what an SC had written", "b", "c"),
            LosesAsync(bucket => bucket.PutAsync("topic.c"), "'topic.c' was written by something that is no SC, maybe over what an SC had written", "a", "b"),
            LosesAsync(bucket => bucket.PurgeAsync("topic.a"), "some of what was there at its last write that is left, revision ", "b", "c"));

        async Task LosesAsync(Func<Bucket, Task> damage, string problem, params string[] left)
        {
            await using Bucket bucket = await BucketAsync();
            string id;
            long term;
            await using (JetStreamTopologyStore store = await bucket.OpenAsync("a", "b", "c"))
                (id, term) = (store.ClusterId, store.Term);

            await damage(bucket);
            var refused = await Assert.ThrowsAsync<ClusterException>(() => bucket.TryOpenAsync());
            Assert.Equal(ErrorCode.StorageFailed, refused.Code);
            Assert.Contains($"is not as an SC has left it: {problem}", refused.Message, StringComparison.Ordinal);
            Assert.Contains("start an SC with --accept-metadata once, which goes on with what is left (topics: 2, SPUs: 0, geo-locations: 0)", refused.Message, StringComparison.Ordinal);

            var log = new KeptLog();
            await using (JetStreamTopologyStore taken = await bucket.TryOpenAsync(acceptsLoss: true, log))
            {
                Assert.Equal(left, taken.LoadTopics().Select(topic => topic.Name));
                Assert.Equal(id, taken.ClusterId);
                Assert.True(taken.Term > term);
            }

            Assert.Contains(log.Lines, line => line.Contains($"is taken as it is, as was asked for, though {problem}", StringComparison.Ordinal));
            await using JetStreamTopologyStore again = await bucket.OpenAsync();
            Assert.Equal(left, again.LoadTopics().Select(topic => topic.Name));
        }
    }

    [Fact(Timeout = 180_000)]
    public async Task Cluster_whose_id_is_lost_does_not_begin_anew_by_itself()
    {
        await Task.WhenAll(
            LosesAsync(bucket => bucket.PutAsync("cluster"), "'cluster' was written by something that is no SC"),
            LosesAsync(bucket => bucket.PurgeAsync(">"), "nothing of it is there any more"));

        async Task LosesAsync(Func<Bucket, Task> damage, string problem)
        {
            await using Bucket bucket = await BucketAsync();
            await (await bucket.OpenAsync("a")).DisposeAsync();
            await damage(bucket);
            var refused = await Assert.ThrowsAsync<ClusterException>(() => bucket.TryOpenAsync(acceptsLoss: true));
            Assert.Contains(problem, refused.Message, StringComparison.Ordinal);
            Assert.Contains("or delete that stream for a cluster that begins anew", refused.Message, StringComparison.Ordinal);

            await bucket.RemoveAsync();
            await using JetStreamTopologyStore anew = await bucket.OpenAsync();
            Assert.Empty(anew.LoadTopics());
        }
    }

    [Fact]
    public async Task Term_is_raised_above_one_that_is_known_and_that_of_the_next_sc_is_greater()
    {
        await using Bucket bucket = await BucketAsync();
        await using JetStreamTopologyStore store = await bucket.OpenAsync("kept");
        await store.RaiseTermAsync(store.Term - 1);
        long before = store.Term;
        await store.RaiseTermAsync(before);
        Assert.Equal(before + 1, store.Term);
        await store.RaiseTermAsync(1_000);
        Assert.Equal(1_001, store.Term);

        await using JetStreamTopologyStore next = await bucket.OpenAsync();
        Assert.Equal(1_002, next.Term);
        await Assert.ThrowsAsync<TopologySupersededException>(() => store.RaiseTermAsync(5_000));
        Assert.Equal(1_001, store.Term);
        Assert.True(store.Superseded.IsCancellationRequested);
    }

    [Fact]
    public async Task Sc_says_what_it_has_written_itself_and_a_server_has_lost()
    {
        using var directory = new TemporaryDirectory();
        using var server = new NatsServer(directory.Path);
        await server.StartAsync();
        await using var bucket = new Bucket(MetadataServers.At(server.Url), MetadataServers.NewName());
        await (await bucket.OpenAsync("kept")).DisposeAsync();
        server.Kill();
        await DirectoryCopy.MakeAsync(server.Store, directory.At("copy"));
        await server.StartAsync();
        long written;
        await using (JetStreamTopologyStore store = await bucket.OpenAsync("lost", logger: _log))
            written = store.Written;

        await (await bucket.TryOpenAsync(logger: _log, written: written)).DisposeAsync();
        Assert.Empty(_log.Lines);
        server.Kill();
        Directory.Delete(server.Store, recursive: true);
        await DirectoryCopy.MakeAsync(directory.At("copy"), server.Store);
        await server.StartAsync();
        await using JetStreamTopologyStore again = await bucket.TryOpenAsync(logger: _log, written: written);
        Assert.Equal(["kept"], again.LoadTopics().Select(topic => topic.Name));
        Assert.Contains(
            $"the last changes of the topology, revisions {written - 1} to {written} of KV_", Assert.Single(_log.Lines, line => !line.Contains("the connection to NATS", StringComparison.Ordinal)), StringComparison.Ordinal);
    }

    private static TopicInfo Topic(string name) => new(name, new TopicSettings(), [new PartitionInfo(0, 1)]);

    private async Task<Bucket> BucketAsync(int replicas = 1) => new(await nats.OptionsAsync(replicas), MetadataServers.NewName());

    /// <summary>A topology's bucket, as an operator sees it and as an SC does.</summary>
    private sealed class Bucket(JetStreamOptions options, string name) : IAsyncDisposable
    {
        private readonly NatsConnection _connection = new(new NatsOpts { Url = options.Servers[0] });

        private NatsJSContext JetStream => new(_connection);

        private string Stream => $"KV_edgestream-{name}-meta";

        public async Task<JetStreamTopologyStore> OpenAsync(string[] topics, ILogger? logger = null)
        {
            JetStreamTopologyStore store = await MetadataServers.OpenTopologyAsync(options, name, logger: logger);
            foreach (string topic in topics)
                await store.SaveTopicAsync(Topic(topic));

            return store;
        }

        public Task<JetStreamTopologyStore> OpenAsync(ILogger? logger = null) => OpenAsync([], logger);

        public Task<JetStreamTopologyStore> OpenAsync(string topic, ILogger? logger = null) => OpenAsync([topic], logger);

        public Task<JetStreamTopologyStore> OpenAsync(string one, string two, string three, ILogger? logger = null) => OpenAsync([one, two, three], logger);

        /// <summary>With less patience for servers that are behind each other: there is one.</summary>
        public Task<JetStreamTopologyStore> TryOpenAsync(bool acceptsLoss = false, ILogger? logger = null, long written = 0) =>
            JetStreamTopologyStore.OpenAsync(options with { Patience = TimeSpan.FromSeconds(4) }, name, "sc-1", logger ?? NullLogger.Instance, acceptsLoss, written);

        public async Task PutAsync(string key) => (await JetStream.PublishAsync(SubjectOf(key), Encoding.UTF8.GetBytes("anything"))).EnsureSuccess();

        public async Task DeleteAsync(string key) =>
            (await JetStream.PublishAsync(SubjectOf(key), Array.Empty<byte>(), headers: new NatsHeaders { ["KV-Operation"] = "DEL" })).EnsureSuccess();

        public async Task PurgeAsync(string key) => await JetStream.PurgeStreamAsync(Stream, new StreamPurgeRequest { Filter = SubjectOf(key) });

        public async Task RemoveAsync() => await JetStream.DeleteStreamAsync(Stream);

        public ValueTask DisposeAsync() => _connection.DisposeAsync();

        private string SubjectOf(string key) => $"$KV.edgestream-{name}-meta.{key}";
    }
}
