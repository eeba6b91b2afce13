using System.Collections.Immutable;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Engines;
using EdgeStream.Cluster.Groups;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Tests.Engines;
using EdgeStream.Cluster.Topology;
using EdgeStream.Testing;

namespace EdgeStream.Cluster.Tests.Controller;

public sealed class SpuRegistryTests : IAsyncDisposable
{
    private readonly TempDirectory _temp = new();
    private readonly ManualTime _time = new();
    private readonly IPartitionEngine _engine;
    private readonly LiteDbMetadataStore _store;

    public SpuRegistryTests()
    {
        _engine = EngineUnderTest.Segments(_temp.Path);
        _store = new LiteDbMetadataStore(_temp.Sub("metadata.db"));
    }

    public async ValueTask DisposeAsync()
    {
        await _engine.DisposeAsync();
        _store.Dispose();
        _temp.Dispose();
    }

    [Fact]
    public void Second_process_with_an_id_is_refused_while_the_first_reports()
    {
        SpuRegistry spus = Create();
        spus.Register(Spu(1), "first", "1.0");
        var refused = Assert.Throws<ClusterException>(() => spus.Register(Spu(1), "second", "1.0"));
        Assert.Equal("an SPU 1 is there already, at https://spu1:9443; stop that one, or give this one an identity of its own: 'edgestream spu certificate ID' makes it", refused.Message);
        Assert.Equal(ErrorCode.SpuExists, refused.Code);

        _time.Advance(SpuRegistry.SilenceTolerated);
        spus.Register(Spu(1), "second", "1.0");
    }

    [Fact]
    public void Id_that_two_processes_have_is_a_problem_as_long_as_both_of_them_come()
    {
        TopologyMap topology = TopologyMap.Unknown with { Spus = [Spu(1)] };
        SpuRegistry spus = Create();
        RegisteredSpu first = spus.Register(Spu(1), "first", "1.0");
        ComesToo();
        string problem = "SPU 1 is there twice: a process at https://copy:9443 has its identity and is refused; stop that one, or give it an identity of its own";
        Assert.Equal([problem], spus.ProblemsOf(topology));
        _time.Advance(SpuRegistry.ReportInterval);
        spus.Report(first, 0, "n1");
        Assert.Equal([problem], spus.ProblemsOf(topology));
        for (int passed = 0; passed < 10; passed++)
        {
            _time.Advance(SpuRegistry.ReportInterval);
            spus.Report(first, 0, "n1");
        }

        Assert.Empty(spus.ProblemsOf(topology));

        // Of one that was started anew before its old stream was seen to have ended, nothing is left to say.
        ComesToo();
        spus.Leave(first, hasSaidSo: false);
        spus.Register(Spu(1), "second", "1.0");
        Assert.Empty(spus.ProblemsOf(topology));

        void ComesToo() => Assert.Throws<ClusterException>(() => spus.Register(new SpuInfo(1, ["https://copy:9443"]), "copy", "1.0"));
    }

    [Fact]
    public void Restarted_process_is_let_in_as_soon_as_the_stream_of_the_one_before_has_ended()
    {
        SpuRegistry spus = Create();
        RegisteredSpu before = spus.Register(Spu(1), "first", "1.0");
        spus.Leave(before, hasSaidSo: false);
        Assert.True(spus.StatusOf(1).Online);
        spus.Register(Spu(1), "second", "1.1");
        Assert.True(before.Replaced.IsCompleted);
        Assert.Equal("1.1", spus.StatusOf(1).Version);

        // What the old stream still has to say is nothing to the new one.
        spus.Leave(before, hasSaidSo: true);
        Assert.True(spus.StatusOf(1).Online);
    }

    [Fact]
    public void Silent_spu_is_dead_after_three_seconds_and_named_once()
    {
        SpuRegistry spus = Create();
        RegisteredSpu spu = spus.Register(Spu(1), "i", "1.0");
        Assert.Empty(spus.FindDead());
        _time.Advance(SpuRegistry.SilenceTolerated - TimeSpan.FromMilliseconds(1));
        Assert.Empty(spus.FindDead());
        _time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal([1], spus.FindDead());
        Assert.Empty(spus.FindDead());
        Assert.Empty(spus.Alive);

        spus.Report(spu, 0, "");
        Assert.Equal([1], spus.Alive.Select(alive => alive.Id));
    }

    [Fact]
    public void What_is_wrong_with_spus_is_said_of_those_that_the_cluster_has()
    {
        TopologyMap topology = TopologyMap.Unknown with { Spus = [Spu(1), Spu(2), Spu(3)] };
        var spus = new SpuRegistry(_engine, _store, topology.Spus, _time);
        RegisteredSpu first = spus.Register(Spu(1), "i", "1.0"), second = spus.Register(Spu(2), "i", "1.0");
        spus.Report(first, 0, "n1", problem: "orders/1: no room");
        Assert.Equal(["SPU 1: orders/1: no room"], spus.ProblemsOf(topology));

        // The third has had its moment, the second says that it stops.
        _time.Advance(SpuRegistry.SettledAfter);
        spus.Report(first, 0, "n1");
        spus.Leave(second, hasSaidSo: true);
        Assert.Equal([Absent(2), Absent(3)], spus.ProblemsOf(topology));
        spus.Register(Spu(3), "i", "1.0");
        Assert.Equal([Absent(2)], spus.ProblemsOf(topology));

        static string Absent(int id) => $"SPU {id} is not there; start it, or take it out with 'edgestream spu remove {id}' where it is not to come back";
    }

    [Fact]
    public void Spu_that_is_about_to_stop_gets_nothing_more_but_is_still_there()
    {
        SpuRegistry spus = Create();
        RegisteredSpu spu = spus.Register(Spu(1), "i", "1.0");
        Task changed = spus.Changed;
        spus.Report(spu, 0, "", isLeaving: true);
        Assert.True(changed.IsCompleted);
        Assert.Empty(spus.Alive);
        Assert.True(spus.StatusOf(1).Online);
        Assert.Empty(spus.FindDead());
    }

    [Fact]
    public void Spu_that_alone_is_without_nats_for_five_seconds_gets_nothing_until_it_is_back()
    {
        TopologyMap topology = TopologyMap.Unknown with { Spus = [Spu(1), Spu(2)] };
        SpuRegistry spus = Create();
        RegisteredSpu first = spus.Register(Spu(1), "i", "1.0"), second = spus.Register(Spu(2), "j", "1.0");
        spus.Report(second, 0, "n2");
        ReportFor(SpuRegistry.WithoutNatsTolerated - SpuRegistry.ReportInterval, "n1", "");
        Assert.Equal([1, 2], spus.Alive.Select(spu => spu.Id));
        Assert.Empty(spus.ProblemsOf(topology));

        ReportFor(TimeSpan.FromSeconds(1), "n1", "");
        Assert.Equal([1], spus.Alive.Select(spu => spu.Id));
        Assert.Equal(["SPU 2 has no connection to NATS"], spus.ProblemsOf(topology));
        Assert.True(spus.StatusOf(2).Online);

        // Another stream of the same process has no other connection to NATS.
        second = spus.Register(Spu(2), "j", "1.0");
        Assert.Equal([1], spus.Alive.Select(spu => spu.Id));

        Task changed = spus.Changed;
        spus.Report(second, 0, "n2");
        Assert.True(changed.IsCompleted);
        Assert.Equal([1, 2], spus.Alive.Select(spu => spu.Id));
        Assert.Empty(spus.ProblemsOf(topology));
        Assert.False(spus.IsSettled);

        void ReportFor(TimeSpan time, string ofFirst, string ofSecond)
        {
            for (TimeSpan passed = TimeSpan.Zero; passed < time; passed += SpuRegistry.ReportInterval)
            {
                spus.Report(first, 0, ofFirst);
                spus.Report(second, 0, ofSecond);
                _time.Advance(SpuRegistry.ReportInterval);
            }

            spus.Report(first, 0, ofFirst);
        }
    }

    [Fact]
    public void Spus_that_are_all_without_nats_or_never_had_it_stay()
    {
        SpuRegistry spus = Create();
        RegisteredSpu[] all = [.. new[] { 1, 2, 3 }.Select(id => spus.Register(Spu(id), "i", "1.0"))];
        spus.Report(all[0], 0, "n1");
        spus.Report(all[1], 0, "n2");
        for (int second = 0; second < 10; second++)
        {
            foreach (RegisteredSpu spu in all)
                spus.Report(spu, 0, "");

            _time.Advance(SpuRegistry.ReportInterval);
        }

        Assert.Equal([1, 2, 3], spus.Alive.Select(spu => spu.Id));
        spus.Report(all[0], 0, "n1");
        Assert.Equal([1, 3], spus.Alive.Select(spu => spu.Id));
    }

    [Fact]
    public void Spus_that_the_topology_knows_have_a_moment_to_come_back()
    {
        SpuRegistry spus = Create(Spu(1), Spu(2));
        spus.Register(Spu(2), "i", "1.0");
        Assert.Equal([1, 2], spus.Alive.Select(spu => spu.Id));
        Assert.False(spus.IsSettled);
        _time.Advance(SpuRegistry.SettledAfter);
        Assert.Empty(spus.Alive);
    }

    [Fact]
    public void Report_that_says_nothing_new_wakes_nobody()
    {
        SpuRegistry spus = Create();
        RegisteredSpu spu = spus.Register(Spu(1), "i", "1.0");
        spus.Report(spu, 3, "n1");
        Task changed = spus.Changed;
        spus.Report(spu, 3, "n1");
        Assert.False(changed.IsCompleted);
        spus.Report(spu, 4, "n1");
        Assert.True(changed.IsCompleted);
    }

    [Fact]
    public async Task Change_waits_for_the_spus_that_are_there_and_for_no_others()
    {
        SpuRegistry spus = Create();
        RegisteredSpu first = spus.Register(Spu(1), "i", "1.0");
        spus.Register(Spu(2), "j", "1.0");
        _time.Advance(SpuRegistry.SilenceTolerated);
        spus.Report(first, 0, "");
        await spus.ApplyAsync(Map());
        Task settled = spus.SettleAsync();
        Assert.False(settled.IsCompleted);
        spus.Report(first, spus.Topology!.Version, "");
        await settled.InTimeAsync();
    }

    [Fact]
    public async Task Change_does_not_wait_for_an_spu_that_is_cut_off_from_nats()
    {
        SpuRegistry spus = Create();
        RegisteredSpu first = spus.Register(Spu(1), "i", "1.0"), second = spus.Register(Spu(2), "j", "1.0");
        spus.Report(second, 0, "n2");
        spus.Report(second, 0, "");
        _time.Advance(SpuRegistry.WithoutNatsTolerated);
        spus.Report(second, 0, "");
        await spus.ApplyAsync(Map());
        spus.Report(first, spus.Topology!.Version, "");
        Task settled = spus.SettleAsync();
        Assert.False(settled.IsCompleted);

        // Only where the other one has it: else nobody would be waited for.
        spus.Report(first, spus.Topology.Version, "n1");
        await settled.InTimeAsync();
    }

    [Fact]
    public async Task Topology_is_put_into_a_message_once_for_all_who_are_told()
    {
        SpuRegistry spus = Create();
        await spus.ApplyAsync(Map());
        Assert.Same(spus.Topology!.Message, spus.Topology.Message);
        Assert.Equal(spus.Topology.Message.CalculateSize(), spus.Topology.Bytes);
    }

    [Fact]
    public async Task Positions_of_a_deleted_topic_go_though_nobody_coordinates_its_groups()
    {
        SpuRegistry spus = Create();
        await _store.SaveGroupPositionsAsync([Positions("gone"), Positions("stays")]);
        var topic = new TopicInfo("gone", new TopicSettings(), [new PartitionInfo(0, 1)]);
        await spus.DeleteStoredAsync(topic);
        Assert.Equal(["stays"], (await _store.LoadGroupPositionsAsync()).Select(positions => positions.Topic));
    }

    private static GroupPositions Positions(string topic) => new("g", topic, ImmutableSortedDictionary<int, long>.Empty.Add(0, 7));

    private static SpuInfo Spu(int id) => new(id, [$"https://spu{id}:9443"]);

    private static TopologyMap Map() => new(
        "c", [], ImmutableSortedDictionary<string, GeoLocationInfo>.Empty, ImmutableSortedDictionary<string, TopicInfo>.Empty);

    private SpuRegistry Create(params SpuInfo[] known) => new(_engine, _store, known, _time);
}
