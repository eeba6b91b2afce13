using System.Collections.Immutable;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Tests.Engines;
using EdgeStream.Cluster.Topology;
using EdgeStream.Protocol.V1;
using EdgeStream.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using TopicSettings = EdgeStream.Cluster.Topology.TopicSettings;

namespace EdgeStream.Cluster.Tests.Spu;

public sealed class SpuViewTests : IAsyncDisposable
{
    private static readonly TopologyMap Empty = new(
        "c", [new SpuInfo(1, ["https://spu1:9443"]), new SpuInfo(2, ["https://spu2:9443"])], ImmutableSortedDictionary<string, GeoLocationInfo>.Empty,
        ImmutableSortedDictionary.Create<string, TopicInfo>(StringComparer.Ordinal));

    private readonly TempDirectory _temp = new();
    private readonly LocalSpu _node;
    private readonly SpuView _view;

    public SpuViewTests()
    {
        _node = new LocalSpu(1, EngineUnderTest.Segments(_temp.Path), NullLogger<LocalSpu>.Instance, isHub: true);
        _view = new SpuView(_node);
    }

    public async ValueTask DisposeAsync()
    {
        await _node.DisposeAsync();
        _temp.Dispose();
    }

    [Fact]
    public async Task Before_it_was_told_it_says_so_and_not_that_there_is_no_such_topic()
    {
        Assert.Equal(ErrorCode.Unavailable, Assert.Throws<ClusterException>(() => _view.GetPartition("t", 0)).Code);
        var service = new ControlPlaneService(_view, new GeoLocationPresence(TimeProvider.System), spu: _node);
        var refused = await Assert.ThrowsAsync<ClusterException>(async () => await service.GetTopology(new GetTopologyRequest(), null!));
        Assert.Equal(ErrorCode.Unavailable, refused.Code);

        await _view.ApplyAsync(Empty);
        Assert.Equal(ErrorCode.TopicNotFound, Assert.Throws<ClusterException>(() => _view.GetPartition("t", 0)).Code);
        Assert.Equal("c", (await service.GetTopology(new GetTopologyRequest(), null!)).ClusterId);
    }

    [Fact]
    public async Task Who_asks_for_what_another_leads_is_told_where()
    {
        await _view.ApplyAsync(With(1, 2));
        Assert.True(_view.GetPartition("t", 0).IsOpen);
        var elsewhere = Assert.Throws<ClusterException>(() => _view.GetPartition("t", 1));
        Assert.Equal((ErrorCode.NotLeader, "t/1 is led by SPU 2 at https://spu2:9443; ask there"), (elsewhere.Code, elsewhere.Message));
    }

    [Fact]
    public async Task Topology_is_served_though_what_is_kept_of_a_deleted_topic_cannot_be_deleted_now()
    {
        await _view.ApplyAsync(With(1));
        TopologyMap before = _view.Current;
        Task changed = _view.WaitForChangeAsync(before, CancellationToken.None);
        _view.TopicDeleted += _ => throw new ClusterException(ErrorCode.Unavailable, "NATS does not answer");
        await _view.ApplyAsync(Empty);
        await changed.InTimeAsync();
        Assert.Empty(_view.Current.Topics);
        Assert.Empty(_node.Partitions);
    }

    private static TopologyMap With(params int[] leaders) => Empty with
    {
        Topics = Empty.Topics.Add("t", new TopicInfo("t", new TopicSettings(), [.. leaders.Select((leader, number) => new PartitionInfo(number, leader))])),
    };
}
