using System.Collections.Concurrent;
using EdgeStream.Agent.Hosting.DataCenter;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Engines;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using ErrorCode = EdgeStream.Protocol.V1.ErrorCode;

namespace EdgeStream.Agent.Tests.Hosting;

/// <summary>An SPU's link to its SCs by itself: SPU 1 of two, and SCs that say what the test has them say.</summary>
public sealed class ScLinkTests : IAsyncLifetime
{
    private static readonly SpuInfo Self = new(1, ["https://spu1:9444"], "rack-1");

    private const string Cluster = "c";

    private readonly TempDirectory _temp = new();
    private readonly ConcurrentQueue<string> _log = new();
    private readonly List<FakeSc> _scs = [];
    private CertificateAuthority _authority = null!;
    private SpuIdentity _identity = null!;
    private LocalSpu _node = null!;
    private SpuView _view = null!;
    private ScLink? _link;

    public async ValueTask InitializeAsync()
    {
        _authority = CertificateAuthority.Open(_temp.Sub("sc"), TimeProvider.System);
        SpuIdentity.Create(_temp.Sub("identity"), _authority, 1, ["localhost"]);
        _identity = SpuIdentity.Load(_temp.Sub("identity"), 1);
        Directory.CreateDirectory(_temp.Sub("spu"));
        var engine = new SegmentEngine(new PartitionDirectories(_temp.Sub("spu")), LogOptions.Default, NullLogger.Instance, isHub: true);
        _node = new LocalSpu(1, engine, NullLogger<LocalSpu>.Instance, isHub: true);
        _view = new SpuView(_node);
        _scs.Add(await FakeSc.StartAsync(_authority));
        _scs.Add(await FakeSc.StartAsync(_authority));
    }

    public async ValueTask DisposeAsync()
    {
        if (_link is not null)
            await _link.DisposeAsync();

        foreach (FakeSc sc in _scs)
            await sc.DisposeAsync();

        await _node.DisposeAsync();
        _identity.Dispose();
        _authority.Dispose();
        _temp.Dispose();
    }

    [Fact]
    public async Task Spu_says_who_it_is_and_serves_and_confirms_what_it_is_told()
    {
        FakeSc sc = _scs[0];
        ScLink link = await ServeAsync(sc);
        await Eventually.HoldsAsync(() => sc.Reports.Any(report => report.AppliedVersion == 5), "it confirms the topology");
        SpuHello hello = sc.Reports.First().Hello;
        Assert.Equal((1, "https://spu1:9444", "rack-1"), (hello.Id, Assert.Single(hello.Endpoints), hello.Zone));
        Assert.NotEqual("", hello.Instance);
        Assert.Equal(0, hello.Term);
        Assert.All(sc.Reports.Skip(1), report => Assert.Null(report.Hello));
        Assert.Equal((sc.Endpoint, (string?)null), (link.Controller, link.Problem));
        Assert.True(_view.GetPartition("t", 0).IsOpen);
        Assert.True(_view.StatusOf(2).Online);

        sc.Tell(Update(term: 3, version: 6, leader: 2));
        await Eventually.HoldsAsync(() => sc.Reports.Last().AppliedVersion == 6, "it confirms the next one");
        Assert.Equal(ErrorCode.NotLeader, Assert.Throws<ClusterException>(() => _view.GetPartition("t", 0)).Code);
    }

    [Fact]
    public async Task Lost_stream_is_made_again_by_the_same_process_and_what_was_told_goes_on_meanwhile()
    {
        FakeSc sc = _scs[0];
        ScLink link = await ServeAsync(sc);
        sc.Refusal = new ClusterException(ErrorCode.Unavailable, "this SC stands by, and there is no active one at the moment");
        sc.Break(new ClusterException(ErrorCode.Unavailable, "this SC is not the active one any more; ask the others"));
        await Eventually.HoldsAsync(() => link.Problem?.Contains("there is no active one at the moment", StringComparison.Ordinal) == true, "it says what is wrong");
        Assert.Null(link.Controller);
        Assert.True(_view.GetPartition("t", 0).IsOpen);

        sc.Refusal = null;
        await Eventually.HoldsAsync(() => link.Controller == sc.Endpoint, "it is registered again");
        Assert.Null(link.Problem);
        Assert.Equal(2, sc.Registrations);
        Assert.Single(sc.Reports.Select(report => report.Hello?.Instance).OfType<string>().Distinct());
        Assert.Equal(3, sc.Reports.Last(report => report.Hello is not null).Hello.Term);
        await Eventually.HoldsAsync(() => sc.Reports.Last().AppliedVersion == 5, "it confirms the topology again");
    }

    [Fact]
    public async Task Another_sc_that_becomes_the_active_one_is_found()
    {
        (FakeSc first, FakeSc second) = (_scs[0], _scs[1]);
        first.Welcome = Update(term: 3, version: 5, leader: 1);
        second.Welcome = Update(term: 4, version: 1, leader: 2);
        second.Refusal = new ClusterException(ErrorCode.Unavailable, $"this SC stands by; the active one is sc-1 at {first.Endpoint}");
        ScLink link = Start(first, second);
        await Eventually.HoldsAsync(() => link.Controller == first.Endpoint, "it is registered with the active one");

        second.Refusal = null;
        first.Refusal = new ClusterException(ErrorCode.Unavailable, $"this SC stands by; the active one is sc-2 at {second.Endpoint}");
        first.Break(new ClusterException(ErrorCode.Unavailable, "this SC is not the active one any more; ask the others"));
        await Eventually.HoldsAsync(() => link.Controller == second.Endpoint, "it is registered with the other");
        await Eventually.HoldsAsync(() => _view.Current.Topics["t"].Partitions[0].LeaderSpu == 2, "it serves what that one says");
    }

    [Fact]
    public async Task Sc_that_accepts_and_says_nothing_is_left_for_another()
    {
        _scs[1].Welcome = Update(term: 1, version: 1, leader: 1);
        ScLink link = Start(_scs[0], _scs[1]);
        await Eventually.HoldsAsync(() => link.Controller == _scs[1].Endpoint, "it is registered with the one that speaks");
    }

    [Theory]
    [InlineData(Cluster, 2, 9, "it is not the active one any more")]
    [InlineData(Cluster, 3, 4, "it is not the active one any more")]
    [InlineData("another", 9, 9, "that SC is of the cluster another, and this SPU of c")]
    public async Task What_was_overtaken_or_is_of_another_cluster_is_not_served(string cluster, long term, long version, string problem)
    {
        (FakeSc first, FakeSc second) = (_scs[0], _scs[1]);
        ScLink link = await ServeAsync(first);
        first.Welcome = Update(term, version, leader: 2, cluster);
        first.Break(new ClusterException(ErrorCode.Unavailable, "lost"));
        await Eventually.HoldsAsync(() => link.Problem?.Contains(problem, StringComparison.Ordinal) == true, "it says why it does not take it");
        Assert.Null(link.Controller);
        Assert.Equal((Cluster, 1), (_view.Current.ClusterId, _view.Current.Topics["t"].Partitions[0].LeaderSpu));
        Assert.Single(_log, line => line.Contains("registered with", StringComparison.Ordinal));
        Assert.Equal(0, second.Registrations);

        first.Welcome = Update(term: 3, version: 5, leader: 1);
        await Eventually.HoldsAsync(() => link.Controller == first.Endpoint, "it takes what is not older");
    }

    [Fact]
    public async Task What_is_told_in_the_wrong_order_within_a_stream_ends_it()
    {
        FakeSc sc = _scs[0];
        ScLink link = await ServeAsync(sc);
        sc.Tell(Update(term: 3, version: 4, leader: 2));
        await Eventually.HoldsAsync(() => sc.Registrations == 2 && link.Controller is not null, "it registers anew");
        Assert.Contains(_log, line => line.Contains("not the active one any more", StringComparison.Ordinal));
        Assert.Equal(1, _view.Current.Topics["t"].Partitions[0].LeaderSpu);
    }

    [Fact]
    public async Task Sc_of_a_version_that_tells_no_term_is_believed()
    {
        FakeSc sc = _scs[0];
        ScLink link = await ServeAsync(sc);
        sc.Tell(Update(term: 0, version: 1, leader: 2));
        await Eventually.HoldsAsync(() => _view.Current.Topics["t"].Partitions[0].LeaderSpu == 2, "it is served");
        Assert.Equal(1, sc.Registrations);
    }

    [Fact]
    public async Task Spu_that_stops_says_so_and_leaves_when_another_leads_what_it_led()
    {
        FakeSc sc = _scs[0];
        ScLink link = await ServeAsync(sc);
        Assert.DoesNotContain(sc.Reports, report => report.Leaving);
        Task stopping = link.StopAsync();
        await Eventually.HoldsAsync(() => sc.Reports.Last().Leaving, "it says that it stops");
        Assert.False(stopping.IsCompleted);
        Assert.False(sc.HasSaidGoodbye);
        sc.Tell(Update(term: 3, version: 6, leader: 2));
        await stopping.InTimeAsync();
        Assert.True(sc.HasSaidGoodbye);
        Assert.Equal(1, sc.Registrations);
    }

    [Fact]
    public async Task Spu_that_stops_waits_for_nobody_where_there_is_no_other()
    {
        FakeSc sc = _scs[0];
        ScLink link = await ServeAsync(sc, otherIsThere: false);
        await link.StopAsync().InTimeAsync();
        Assert.True(sc.HasSaidGoodbye);
        Assert.True(_view.GetPartition("t", 0).IsOpen);
    }

    [Fact]
    public async Task Refusal_is_told_as_the_sc_has_said_it()
    {
        const string Refused = "an SPU 1 is there already, at https://other:9444";
        FakeSc sc = _scs[0];
        sc.Refusal = new ClusterException(ErrorCode.InvalidArgument, Refused);

        // A hello that does not fit into what may be on its way: the refusal comes while it is written, which fails as well. Which of the
        // two is seen first is a matter of luck.
        for (int i = 0; i < 10; i++)
        {
            await using ScLink link = Create(new SpuInfo(1, [new string('x', 1_000_000)]), sc);
            link.Start();
            await Eventually.HoldsAsync(() => link.Problem != "no SC has answered yet", "it is refused");
            Assert.Equal(Refused, link.Problem);
        }
    }

    [Fact]
    public async Task Spu_whose_identity_another_process_has_serves_nothing_until_that_one_is_gone()
    {
        FakeSc sc = _scs[0];
        sc.Welcome = Update(term: 3, version: 5, leader: 1);
        ScLink link = Start(sc);
        await link.Served.InTimeAsync();
        Assert.True(_view.GetPartition("t", 0).IsOpen);
        TopologyMap told = _view.Current;
        int deleted = 0;
        _view.TopicDeleted += _ => Task.FromResult(deleted++);

        // As after another SC has become the active one, and the copy was there first.
        sc.Refusal = new ClusterException(ErrorCode.SpuExists, "an SPU 1 is there already, at https://copy:9444; stop that one");
        sc.Break(new ClusterException(ErrorCode.Unavailable, "this SC is not the active one any more; ask the others"));
        await Eventually.HoldsAsync(() => _node.Partitions.Count == 0, "its partitions are closed");
        await _view.WaitForChangeAsync(told, CancellationToken.None).InTimeAsync();
        var refused = Assert.Throws<ClusterException>(() => _view.GetPartition("t", 0));
        Assert.Equal((ErrorCode.NotLeader, "t/0 is led by another process, which is registered as this SPU; ask an SC where"), (refused.Code, refused.Message));
        var service = new EdgeStream.Cluster.Grpc.ControlPlaneService(_view, new GeoLocationPresence(TimeProvider.System), spu: _node);
        var asked = await Assert.ThrowsAsync<ClusterException>(async () => await service.GetTopology(new GetTopologyRequest(), null!));
        Assert.Equal(ErrorCode.Unavailable, asked.Code);
        Assert.Contains("an SPU 1 is there already, at https://copy:9444", link.Problem, StringComparison.Ordinal);
        await Eventually.HoldsAsync(
            () => _log.Count(line => line == "another process is registered as SPU 1; what it led is closed here, until that one is gone") == 1, "it says so, once");

        // The same topology as before: that nobody else was told of any change is no reason not to serve it again.
        sc.Refusal = null;
        await Eventually.HoldsAsync(() => _view.Current.Spus.Length == 2, "it serves again");
        Assert.True(_view.GetPartition("t", 0).IsOpen);
        Assert.Equal(0, deleted);
    }

    [Fact]
    public async Task Mirror_partition_is_asked_for_and_waited_for_or_refused_in_words()
    {
        FakeSc sc = _scs[0];
        sc.Welcome = Update(term: 3, version: 5, leader: 1);
        ScLink link = _link = Create(Self, sc);
        Assert.Contains("there is no SC now", (await Assert.ThrowsAsync<ClusterException>(() => link.EnsureMirrorPartitionAsync("m", "north"))).Message, StringComparison.Ordinal);
        link.Start();
        await link.Served.InTimeAsync();

        sc.Ensure = request =>
        {
            Assert.Equal(("m", "north"), (request.Topic, request.GeoLocation));
            return new EnsureMirrorPartitionResponse { Partition = 0 };
        };
        Task<PartitionId> asked = link.EnsureMirrorPartitionAsync("m", "north");
        Assert.False(asked.IsCompleted);
        SpuUpdate update = Update(term: 3, version: 6, leader: 1);
        update.Topology.Topics.Add(StoredMessages.ToMessage(new TopicInfo("m", new EdgeStream.Cluster.Topology.TopicSettings(Mirror: true), [new PartitionInfo(0, 1, "north")])));
        sc.Tell(update);
        Assert.Equal(new PartitionId("m", 0), await asked.InTimeAsync());

        sc.Ensure = _ => throw new ClusterException(ErrorCode.TopicExists, "the hub has a topic 'u' that is no mirror topic; rename one of the two");
        var refused = await Assert.ThrowsAsync<ClusterException>(() => link.EnsureMirrorPartitionAsync("u", "north").InTimeAsync());
        Assert.Equal((ErrorCode.TopicExists, "the hub has a topic 'u' that is no mirror topic; rename one of the two"), (refused.Code, refused.Message));
    }

    /// <summary>Registers with an SC that welcomes the SPU with version 5 of its term 3, and serves that: it leads the one partition.</summary>
    private async Task<ScLink> ServeAsync(FakeSc sc, bool otherIsThere = true)
    {
        sc.Welcome = Update(term: 3, version: 5, leader: 1, otherIsThere: otherIsThere);
        ScLink link = Start(sc);
        await link.Served.InTimeAsync();
        return link;
    }

    private ScLink Start(params FakeSc[] scs)
    {
        _link = Create(Self, scs);
        _link.Start();
        return _link;
    }

    private ScLink Create(SpuInfo self, params FakeSc[] scs) => new(
        self, [.. scs.Select(sc => sc.Endpoint)], _identity, _view, () => "n1", new GeoLocationPresence(TimeProvider.System), new ListLogger(_log));

    /// <summary>One partition, of which an SPU is the leader.</summary>
    private static SpuUpdate Update(long term, long version, int leader, string cluster = Cluster, bool otherIsThere = true)
    {
        var topic = new TopicInfo("t", new EdgeStream.Cluster.Topology.TopicSettings(), [new PartitionInfo(0, leader, LeaderEpoch: version)]);
        SpuInfo[] spus = [new(1, ["https://spu1:9444"]), new(2, ["https://spu2:9444"])];
        TopologyMap map = TopologyMap.Unknown with { ClusterId = cluster, Spus = [.. spus], Topics = TopologyMap.Unknown.Topics.Add("t", topic) };
        return new SpuUpdate
        {
            Topology = StoredMessages.ToMessage(map, version, term),
            Spus = { spus.Select(spu => new EdgeStream.Protocol.V1.Spu { Id = spu.Id, Online = spu.Id == 1 || otherIsThere, Endpoints = { spu.Endpoints } }) },
        };
    }

    private sealed class ListLogger(ConcurrentQueue<string> lines) : ILogger<ScLink>
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            lines.Enqueue(formatter(state, exception));
    }
}
