using EdgeStream.Client;
using EdgeStream.Cluster.Tests.Engines;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage.Gaps;
using EdgeStream.Testing;
using Google.Protobuf;
using Gap = EdgeStream.Storage.Gaps.Gap;
using PartitionId = EdgeStream.Cluster.Topology.PartitionId;

namespace EdgeStream.Cluster.Tests.Client;

/// <summary>What a client puts together from several SPUs, of which some know less than the others, or nothing.</summary>
public sealed class GatheringTests(NatsFixture nats) : IAsyncLifetime
{
    private InProcessCluster _cluster = null!;
    private EdgeStreamClient _client = null!;

    private InProcessSpu First => _cluster.Spus[0];

    private InProcessSpu Second => _cluster.Spus[1];

    public async ValueTask InitializeAsync()
    {
        _cluster = await InProcessCluster.StartAsync(nats);
        _client = _cluster.Connect();
    }

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        await _cluster.DisposeAsync();
    }

    [Fact]
    public async Task Spu_that_opens_a_new_topic_still_is_asked_again()
    {
        await _cluster.CreateTopicAsync("new", told: [First], 1, 2);
        int asked = _cluster.Asked;
        Task<IReadOnlyList<PartitionStatus>> listing = _client.ListPartitionsAsync("new");
        Task<Gathered<Protocol.V1.Gap>> gaps = _client.ListGapsAsync("new");
        await Eventually.HoldsAsync(() => _cluster.Asked >= asked + 3, "it is asked again, though not in haste");
        Assert.False(listing.IsCompleted || gaps.IsCompleted);
        await _cluster.TellAsync(Second);
        Assert.Equal(["", ""], (await listing.InTimeAsync()).Select(status => status.Problem));
        Assert.Empty((await gaps.InTimeAsync()).Problems);
    }

    [Fact]
    public async Task Spu_that_is_not_told_of_a_topic_for_long_is_named_and_the_rest_is_shown()
    {
        await _cluster.CreateTopicAsync("new", told: [First], 1, 2);
        Assert.Equal(["", "SPU 2 was not told of it yet; try again"], (await _client.ListPartitionsAsync("new").InTimeAsync()).Select(status => status.Problem));

        await _cluster.CreateTopicAsync("newer", told: [], 1, 2);
        ClientException none = await Assert.ThrowsAsync<ClientException>(() => _client.ListPartitionsAsync("newer").InTimeAsync());
        Assert.Equal((ErrorCode.Unavailable, "SPU 1 was not told of it yet; try again"), (none.Code, none.Message));
    }

    [Fact]
    public async Task Topic_that_is_deleted_while_it_is_asked_for_is_not_waited_for()
    {
        await _cluster.CreateTopicAsync("gone", told: [], 1, 2);
        int asked = _cluster.Asked;
        Task<IReadOnlyList<PartitionStatus>> listing = _client.ListPartitionsAsync("gone");
        await Eventually.HoldsAsync(() => _cluster.Asked > asked, "it is asked for");
        _cluster.DeleteTopic("gone");
        Assert.Equal(ErrorCode.TopicNotFound, (await Assert.ThrowsAsync<ClientException>(() => listing.InTimeAsync())).Code);
    }

    [Fact]
    public async Task Gaps_come_from_all_spus_in_order_and_one_that_does_not_answer_is_named()
    {
        await _cluster.CreateTopicAsync("a", 2, 1);
        await _cluster.CreateTopicAsync("b", 1);
        await AddGapAsync(Second, new PartitionId("a", 0), 0, 4);
        await AddGapAsync(First, new PartitionId("a", 1), 0, 9);
        await AddGapAsync(First, new PartitionId("b", 0), 0, 0);
        Assert.Equal([("a", 0, 4L), ("a", 1, 9L), ("b", 0, 0L)], await ListAsync());
        Assert.Equal([("a", 0, 4L), ("a", 1, 9L)], await ListAsync("a"));

        Second.Link.Fault = LinkFault.Cut;
        Gathered<Protocol.V1.Gap> gathered = await _client.ListGapsAsync("a").InTimeAsync();
        Assert.Equal(1, Assert.Single(gathered.Items).Partition);
        Assert.StartsWith("SPU 2 does not answer", Assert.Single(gathered.Problems), StringComparison.Ordinal);
        Assert.Equal(ErrorCode.TopicNotFound, (await Assert.ThrowsAsync<ClientException>(() => _client.ListGapsAsync("c").InTimeAsync())).Code);

        async Task<IEnumerable<(string, int, long)>> ListAsync(string topic = "")
        {
            Gathered<Protocol.V1.Gap> all = await _client.ListGapsAsync(topic).InTimeAsync();
            Assert.Empty(all.Problems);
            return all.Items.Select(gap => (gap.Topic, gap.Partition, gap.LastOffset));
        }
    }

    [Fact]
    public async Task Geo_location_that_no_spu_was_told_of_yet_is_waited_for_and_one_that_there_is_none_of_is_not()
    {
        _cluster.AddGeoLocation("north");
        int asked = _cluster.Asked;
        Task<Gathered<Protocol.V1.Gap>> listing = _client.ListGapsAsync(geoLocation: "north");
        await Eventually.HoldsAsync(() => _cluster.Asked >= asked + 2, "it is asked again");
        await _cluster.TellAsync(First);
        await _cluster.TellAsync(Second);
        Assert.Empty((await listing.InTimeAsync()).Problems);
        Assert.Equal(ErrorCode.GeoLocationNotFound, (await Assert.ThrowsAsync<ClientException>(() => _client.ListGapsAsync(geoLocation: "south").InTimeAsync())).Code);
    }

    [Fact]
    public async Task Latest_values_come_from_all_spus_and_the_newest_of_each_key_counts()
    {
        await _cluster.CreateTopicAsync("t", 1, 2);
        First.Latest.Enqueue(Latest("south", "pump", 3));
        First.Latest.Enqueue(Latest("north", "pump", 5));
        Second.Latest.Enqueue(Latest("north", "pump", 9));
        Second.Latest.Enqueue(Latest("north", "oven", 7));
        Gathered<LatestValue> all = await _client.ReadLatestAsync("t").InTimeAsync();
        Assert.Equal(["north oven 7", "north pump 9", "south pump 3"], all.Items.Select(Text).Order());
        Assert.Equal(["north", "north", "south"], all.Items.Select(latest => latest.GeoLocation));
        Assert.Empty(all.Problems);

        Second.Link.Fault = LinkFault.Cut;
        all = await _client.ReadLatestAsync("t").InTimeAsync();
        Assert.Equal(["north pump 5", "south pump 3"], all.Items.Select(Text));
        Assert.StartsWith("SPU 2 does not answer", Assert.Single(all.Problems), StringComparison.Ordinal);

        static string Text(LatestValue latest) => $"{latest.GeoLocation} {latest.Value.Key.ToStringUtf8()} {latest.Value.Offset}";
    }

    private static LatestValue Latest(string geo, string key, long offset) =>
        new() { GeoLocation = geo, Value = new LiveValue { Key = ByteString.CopyFromUtf8(key), Offset = offset } };

    private static async Task AddGapAsync(InProcessSpu spu, PartitionId partition, long first, long last) =>
        await (await spu.Node.Find(partition)!.Log.EnqueueGapAsync(new Gap(first, last, 10, 77, 88, GapReason.Overflow, 99))).InTimeAsync();
}
