using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Engines;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Tests.Engines;
using EdgeStream.Cluster.Topology;
using EdgeStream.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Cluster.Tests.Controller;

/// <summary>What the active SC does by itself about SPUs that come, go silent and stop.</summary>
public sealed class ScActivityTests : IAsyncLifetime
{
    private static readonly TopicSettings Plain = new();

    private readonly TempDirectory _temp = new();
    private readonly ManualTime _time = new();
    private readonly GeoLocationPresence _presence = new(TimeProvider.System);
    private IPartitionEngine _engine = null!;
    private LiteDbMetadataStore _store = null!;
    private SpuRegistry _spus = null!;
    private StreamController _controller = null!;
    private ScActivity _sc = null!;

    public async ValueTask InitializeAsync()
    {
        _engine = EngineUnderTest.Segments(_temp.Path);
        _store = new LiteDbMetadataStore(_temp.Sub("metadata.db"));
        _spus = new SpuRegistry(_engine, _store, [], _time);
        _presence.NoteElsewhere(9, Link("north", isOnline: true));
        _controller = new StreamController(_store, _spus, [], isHub: true);
        _sc = await ScActivity.StartAsync(_controller, _spus, _presence, _time, NullLogger.Instance);
    }

    public async ValueTask DisposeAsync()
    {
        await _sc.DisposeAsync();
        await _engine.DisposeAsync();
        _store.Dispose();
        _temp.Dispose();
    }

    [Fact]
    public async Task Partitions_of_a_silent_spu_go_to_another_with_the_next_epoch_and_its_links_are_gone()
    {
        RegisteredSpu first = Register(1);
        await CreateTopicAsync(first, 2);
        RegisteredSpu second = Register(2);
        _presence.NoteElsewhere(1, Link("south", isOnline: true));
        _time.Advance(SpuRegistry.SilenceTolerated);
        _spus.Report(second, 0, "");

        await Eventually.HoldsAsync(() => Partitions.All(partition => partition is { LeaderSpu: 2, LeaderEpoch: 1 }), "SPU 2 leads all of it");
        await Eventually.HoldsAsync(() => !_presence.IsOnline("south"), "its links are gone");
    }

    [Fact]
    public async Task Partitions_of_an_spu_that_is_about_to_stop_go_to_another_while_it_still_reports()
    {
        RegisteredSpu first = Register(1);
        await CreateTopicAsync(first, 2);
        Register(2);
        _spus.Report(first, 1, "", isLeaving: true);
        await Eventually.HoldsAsync(() => Partitions.All(partition => partition.LeaderSpu == 2), "SPU 2 leads all of it");
        Assert.True(_spus.StatusOf(1).Online);
    }

    [Fact]
    public async Task Partitions_of_an_spu_that_alone_is_without_nats_go_to_another_while_it_still_reports()
    {
        RegisteredSpu first = Register(1);
        await CreateTopicAsync(first, 2);
        RegisteredSpu second = Register(2);
        _spus.Report(first, 1, "n1");
        for (int passed = 0; passed < 6; passed++)
        {
            _spus.Report(first, 1, "");
            _spus.Report(second, 1, "n2");
            _time.Advance(SpuRegistry.ReportInterval);
        }

        await Eventually.HoldsAsync(() => Partitions.All(partition => partition.LeaderSpu == 2), "SPU 2 leads all of it");
        Assert.True(_spus.StatusOf(1).Online);
    }

    [Fact]
    public async Task Without_another_spu_nothing_moves()
    {
        RegisteredSpu first = Register(1);
        await CreateTopicAsync(first, 2);
        _spus.Leave(first, hasSaidSo: true);
        Task<string> gone = Task.Run(async () =>
        {
            await Eventually.HoldsAsync(() => !_spus.StatusOf(1).Online, "it is gone");
            return "gone";
        });
        Assert.Equal("gone", await gone);
        Assert.All(Partitions, partition => Assert.Equal((1, 0), (partition.LeaderSpu, partition.LeaderEpoch)));
    }

    [Fact]
    public void Links_that_were_told_the_last_time_it_was_active_are_not_taken_for_links_now() => Assert.False(_presence.IsOnline("north"));

    [Fact]
    public async Task Changes_that_wait_when_it_ends_are_refused_and_not_left_waiting()
    {
        // Nobody serves it, so the first takes its time and the others wait behind it.
        Register(1);
        _time.Advance(TimeSpan.FromSeconds(1));
        Task[] changes = [.. Enumerable.Range(0, 8).Select(n => _controller.CreateTopicAsync($"t{n}", 1, Plain))];
        _controller.Dispose();
        var refused = await Assert.ThrowsAsync<ClusterException>(() => _controller.CreateTopicAsync("late", 1, Plain).InTimeAsync());
        Assert.Equal(ErrorCode.Unavailable, refused.Code);

        _time.Advance(TimeSpan.FromMinutes(1));
        await Task.WhenAll(changes.Select(change => change.ContinueWith(_ => { }, TaskScheduler.Default))).InTimeAsync();
        Assert.All(changes.Where(change => change.IsFaulted), change => Assert.IsType<ClusterException>(change.Exception!.InnerException));
    }

    private IEnumerable<PartitionInfo> Partitions => _controller.Current.Topics["t"].Partitions;

    private static Protocol.V1.GeoLocation Link(string name, bool isOnline) => new()
    {
        Name = name,
        State = isOnline ? Protocol.V1.GeoLocationState.Online : Protocol.V1.GeoLocationState.Offline,
    };

    private RegisteredSpu Register(int id) => _spus.Register(new SpuInfo(id, [$"https://spu{id}:9443"]), $"process-{id}", "1.0");

    private async Task CreateTopicAsync(RegisteredSpu spu, int partitions)
    {
        Task<TopicInfo> created = _controller.CreateTopicAsync("t", partitions, Plain);
        await Eventually.HoldsAsync(() => _controller.Current.Topics.ContainsKey("t"), "the topic is there");
        _spus.Report(spu, _spus.Topology!.Version, "");
        await created.InTimeAsync();
    }
}
