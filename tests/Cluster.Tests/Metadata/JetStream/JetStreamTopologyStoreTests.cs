using System.Collections.Immutable;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Metadata.JetStream;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Tests.Engines;
using EdgeStream.Cluster.Topology;
using EdgeStream.Harness;
using EdgeStream.Testing;
using NATS.Client.Core;
using NATS.Client.JetStream;

namespace EdgeStream.Cluster.Tests.Metadata.JetStream;

public sealed class JetStreamTopologyStoreTests(NatsFixture nats, ITestOutputHelper output) : IDisposable
{
    private static readonly DateTimeOffset Noon = new(2031, 2, 3, 12, 0, 0, TimeSpan.FromHours(5));

    private readonly TemporaryDirectory _directory = new();
    private readonly string _name = MetadataServers.NewName();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task All_that_was_saved_is_there_after_reopening(int replicas)
    {
        JetStreamOptions options = await nats.OptionsAsync(replicas);
        TopologyMap full = StoredMessagesTests.Full;
        var invite = new Invite("00ff", "north", Noon, Noon.AddTicks(1));
        string id;
        await using (JetStreamTopologyStore store = await MetadataServers.OpenTopologyAsync(options, _name))
        {
            id = store.ClusterId;
            Assert.Empty(store.LoadTopics());
            foreach (TopicInfo topic in full.Topics.Values.Concat(full.Topics.Values.Select(topic => topic with { Name = $"{topic.Name}.gone" })))
            {
                await store.SaveTopicAsync(topic with { Settings = new TopicSettings { RetentionBytes = 1 } });
                await store.SaveTopicAsync(topic);
            }

            foreach (TopicInfo topic in full.Topics.Values)
                await store.DeleteTopicAsync($"{topic.Name}.gone");

            foreach (GeoLocationInfo geo in full.GeoLocations.Values)
                await store.SaveGeoLocationAsync(geo);

            await store.SaveInviteAsync(invite);
            await store.SaveInviteAsync(invite with { SecretHash = "11", GeoLocation = "south" });
            await store.SaveInviteAsync(invite with { SecretHash = "22", GeoLocation = "south" });
            await store.DeleteInvitesAsync("south");
            AssertAll(store);
        }

        await using JetStreamTopologyStore again = await MetadataServers.OpenTopologyAsync(options, _name);
        AssertAll(again);

        void AssertAll(JetStreamTopologyStore store)
        {
            Assert.Equal(id, store.ClusterId);
            StoredMessagesTests.AssertEqual(
                full with { ClusterId = id },
                new TopologyMap(
                    store.ClusterId,
                    full.Spus,
                    store.LoadGeoLocations().ToImmutableSortedDictionary(geo => geo.Name, geo => geo, StringComparer.Ordinal),
                    store.LoadTopics().ToImmutableSortedDictionary(topic => topic.Name, topic => topic, StringComparer.Ordinal)));
            Assert.Equal(invite, store.FindInvite("00ff"));
            Assert.Null(store.FindInvite("11"));
            Assert.Null(store.FindInvite("22"));
        }
    }

    [Fact]
    public async Task Thousands_of_keys_changed_in_any_order_are_loaded_whole()
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        JetStreamOptions options = await nats.OptionsAsync(1);
        Dictionary<string, TopicInfo> expected = [];
        await using (JetStreamTopologyStore store = await MetadataServers.OpenTopologyAsync(options, _name))
        {
            for (int i = 0; i < 3000; i++)
            {
                string name = $"t{random.Next(1500)}";
                if (random.Next(10) == 0)
                {
                    await store.DeleteTopicAsync(name);
                    expected.Remove(name);
                }
                else
                {
                    expected[name] = new TopicInfo(name, new TopicSettings { RetentionBytes = i + 1 }, []);
                    await store.SaveTopicAsync(expected[name]);
                }
            }
        }

        await using JetStreamTopologyStore again = await MetadataServers.OpenTopologyAsync(options, _name);
        Assert.Equal(
            expected.Values.Select(topic => (topic.Name, topic.Settings.RetentionBytes)).Order(),
            again.LoadTopics().Select(topic => (topic.Name, topic.Settings.RetentionBytes)).Order());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task Second_writer_ends_the_first_for_good(int replicas)
    {
        JetStreamOptions options = await nats.OptionsAsync(replicas);
        await using JetStreamTopologyStore first = await MetadataServers.OpenTopologyAsync(options, _name);
        await first.SaveTopicAsync(Topic("kept"));
        await using JetStreamTopologyStore second = await MetadataServers.OpenTopologyAsync(options, _name, "sc-2");
        Assert.Equal(first.ClusterId, second.ClusterId);
        Assert.True(second.Term > first.Term);
        Assert.False(first.Superseded.IsCancellationRequested);

        await Assert.ThrowsAsync<TopologySupersededException>(() => first.SaveTopicAsync(Topic("late")));
        Assert.True(first.Superseded.IsCancellationRequested);
        await second.SaveTopicAsync(Topic("new"));
        await Assert.ThrowsAsync<TopologySupersededException>(() => first.SaveGeoLocationAsync(new GeoLocationInfo("late", null, false)));
        Assert.Equal(["kept"], first.LoadTopics().Select(topic => topic.Name));

        await using JetStreamTopologyStore third = await MetadataServers.OpenTopologyAsync(options, _name, "sc-3");
        Assert.Equal(["kept", "new"], third.LoadTopics().Select(topic => topic.Name));
        Assert.Empty(third.LoadGeoLocations());
    }

    [Fact]
    public async Task Next_epoch_stays_above_what_was_found_at_whoever_writes_later()
    {
        const long Found = 5_000;
        JetStreamOptions options = await nats.OptionsAsync(1);
        await using JetStreamTopologyStore store = await MetadataServers.OpenTopologyAsync(options, _name);
        long before = store.NextEpoch;
        await store.RaiseNextEpochAsync(before - 1);
        Assert.Equal(before, store.NextEpoch);
        await store.RaiseNextEpochAsync(Found);
        Assert.InRange(store.NextEpoch, Found + 1, Found + 10);
        await store.RaiseNextEpochAsync(3 * Found);
        long raised = store.NextEpoch;
        Assert.InRange(raised, (3 * Found) + 1, (3 * Found) + 10);
        await store.SaveTopicAsync(Topic("t"));
        Assert.True(store.NextEpoch > raised);

        await using JetStreamTopologyStore next = await MetadataServers.OpenTopologyAsync(options, _name, "sc-2");
        Assert.True(next.NextEpoch > store.NextEpoch);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task Cluster_has_one_id_whoever_opens_it_first(int replicas)
    {
        JetStreamOptions options = await nats.OptionsAsync(replicas);
        JetStreamTopologyStore[] stores = await Task.WhenAll(
            Enumerable.Range(0, 4).Select(i => MetadataServers.OpenTopologyAsync(options, _name, $"sc-{i}"))).InTimeAsync();
        Assert.Single(stores.Select(store => store.ClusterId).Distinct());

        int active = 0;
        foreach (JetStreamTopologyStore store in stores)
        {
            try
            {
                await store.SaveTopicAsync(Topic("t"));
                active++;
            }
            catch (TopologySupersededException)
            {
                // Another was later.
            }

            await store.DisposeAsync();
        }

        Assert.Equal(1, active);
    }

    [Fact]
    public async Task Write_whose_answer_is_lost_counts_where_it_was_stored()
    {
        using var link = new FaultyLink((await nats.SingleAsync()).Port);
        await using JetStreamTopologyStore store = await MetadataServers.OpenTopologyAsync(MetadataServers.At(link), _name);
        await store.SaveTopicAsync(Topic("before"));

        link.Fault = LinkFault.NoAnswers;
        Task saving = store.SaveTopicAsync(Topic("unanswered"));
        await Condition.WaitAsync(() => "it is stored", async () => (await TopicsAsync()).Contains("unanswered"));
        Assert.False(saving.IsCompleted);
        link.Fault = LinkFault.None;
        await saving.InTimeAsync();

        await store.SaveTopicAsync(Topic("after"));
        Assert.Equal(["after", "before", "unanswered"], store.LoadTopics().Select(topic => topic.Name));
        await using JetStreamTopologyStore again = await MetadataServers.OpenTopologyAsync(await nats.OptionsAsync(1), _name);
        Assert.Equal(["after", "before", "unanswered"], again.LoadTopics().Select(topic => topic.Name));
    }

    [Fact]
    public async Task Write_that_another_came_before_is_not_taken_for_stored()
    {
        using var link = new FaultyLink((await nats.SingleAsync()).Port);
        await using JetStreamTopologyStore store = await MetadataServers.OpenTopologyAsync(MetadataServers.At(link), _name);

        link.Fault = LinkFault.Frozen;
        Task saving = store.SaveTopicAsync(Topic("late"));
        await using JetStreamTopologyStore next = await MetadataServers.OpenTopologyAsync(await nats.OptionsAsync(1), _name, "sc-2");
        link.Fault = LinkFault.None;

        await Assert.ThrowsAsync<TopologySupersededException>(() => saving.InTimeAsync());
        await next.SaveTopicAsync(Topic("new"));
        Assert.Equal(["new"], next.LoadTopics().Select(topic => topic.Name));
    }

    [Fact]
    public async Task Goes_on_after_the_server_was_killed()
    {
        using var server = new NatsServer(_directory.Path);
        await server.StartAsync();
        await using JetStreamTopologyStore store = await MetadataServers.OpenTopologyAsync(MetadataServers.At(server.Url), _name);
        await store.SaveTopicAsync(Topic("before"));

        server.Kill();
        Task saving = store.SaveTopicAsync(Topic("meanwhile"));
        await server.StartAsync();
        try
        {
            await saving.InTimeAsync();
        }
        catch (ClusterException unsent) when (unsent is not TopologySupersededException)
        {
            await Condition.WaitAsync(() => "it can be saved", () => CanSaveAsync(store, "meanwhile"));
        }

        await Condition.WaitAsync(() => "it goes on", () => CanSaveAsync(store, "after"));
        await using JetStreamTopologyStore again = await MetadataServers.OpenTopologyAsync(MetadataServers.At(server.Url), _name);
        Assert.Equal(["after", "before", "meanwhile"], again.LoadTopics().Select(topic => topic.Name));
    }

    [Fact]
    public async Task Each_of_three_servers_may_go_in_turn()
    {
        using var cluster = new NatsCluster(_directory.Path);
        await cluster.StartAsync();
        JetStreamOptions options = MetadataServers.At([.. cluster.Urls]) with { Replicas = 3 };
        List<string> saved = [];
        await using (JetStreamTopologyStore store = await MetadataServers.OpenTopologyAsync(options, _name))
        {
            foreach (NatsServer server in cluster.Servers)
            {
                server.Kill();
                await SaveSomeAsync(store);
                await server.StartAsync();
                await SaveSomeAsync(store);
            }
        }

        await using JetStreamTopologyStore again = await MetadataServers.OpenTopologyAsync(options, _name);
        Assert.Equal(saved.Order(StringComparer.Ordinal), again.LoadTopics().Select(topic => topic.Name));

        async Task SaveSomeAsync(JetStreamTopologyStore store)
        {
            for (int i = 0; i < 20; i++)
            {
                string name = $"t{saved.Count}";
                await Condition.WaitAsync(() => $"'{name}' can be saved", () => CanSaveAsync(store, name), TimeSpan.FromMinutes(1));
                saved.Add(name);
            }
        }
    }

    private static TopicInfo Topic(string name) => new(name, new TopicSettings(), [new PartitionInfo(0, 1)]);

    private static async Task<bool> CanSaveAsync(JetStreamTopologyStore store, string topic)
    {
        try
        {
            await store.SaveTopicAsync(Topic(topic));
            return true;
        }
        catch (ClusterException early) when (early is not TopologySupersededException)
        {
            return false;
        }
    }

    /// <summary>The keys of topics, as another NATS client sees them.</summary>
    private async Task<IEnumerable<string>> TopicsAsync()
    {
        await using var connection = new NatsConnection(new NatsOpts { Url = (await nats.SingleAsync()).Url });
        var request = new NATS.Client.JetStream.Models.StreamInfoRequest { SubjectsFilter = ">" };
        INatsJSStream stream = await new NatsJSContext(connection).GetStreamAsync($"KV_edgestream-{_name}-meta", request);
        return stream.Info.State.Subjects!.Keys.Where(subject => subject.Contains(".topic.", StringComparison.Ordinal)).Select(subject => subject.Split('.')[^1]);
    }
}
