using System.Collections.Immutable;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using EdgeStream.Storage.Retention;
using Google.Protobuf;
using V1 = EdgeStream.Protocol.V1;

namespace EdgeStream.Cluster.Tests.Metadata;

public sealed class StoredMessagesTests
{
    private static readonly DateTimeOffset Noon = new(2031, 2, 3, 12, 0, 0, TimeSpan.FromHours(5));

    /// <summary>Each field once as it is by default, and once as something else.</summary>
    internal static TopologyMap Full { get; } = new(
        "0a1b2c",
        [new SpuInfo(0, []), new SpuInfo(7, ["https://spu7:9443", "unix:/run/x"], "rack-1")],
        ImmutableSortedDictionary<string, GeoLocationInfo>.Empty.WithComparers(StringComparer.Ordinal)
            .Add("invited", new GeoLocationInfo("invited", null, false))
            .Add("north", new GeoLocationInfo("north", Noon.AddTicks(1), true, "00ff", Noon.AddDays(90)))
            .Add("lost", new GeoLocationInfo("lost", DateTimeOffset.UnixEpoch, false)),
        ImmutableSortedDictionary<string, TopicInfo>.Empty.WithComparers(StringComparer.Ordinal)
            .Add("plain", new TopicInfo("plain", new TopicSettings(), []))
            .Add("a.b-c_D", new TopicInfo(
                "a.b-c_D",
                new TopicSettings(Mirror: true, CompressionCodec.Zstd, AtEveryEdge: true)
                {
                    RetentionBytes = 9_000_000_000,
                    RetentionAge = TimeSpan.FromTicks(123_456_789),
                    Overflow = OverflowPolicy.Reject,
                    Sync = SyncPolicy.Every(TimeSpan.FromMilliseconds(250)),
                    Replicas = 3,
                    Down = DownTo.Everybody,
                    TimeToLive = TimeSpan.FromDays(36500),
                },
                [new PartitionInfo(0, 3), new PartitionInfo(4, PartitionInfo.NoLeader, "north", 9_000_000_001, 0)]))
            .Add("chosen", new TopicInfo("chosen", new TopicSettings { Down = DownTo.Chosen }, [])));

    [Fact]
    public void Topology_is_the_same_after_the_wire()
    {
        V1.TopologyState read = V1.TopologyState.Parser.ParseFrom(StoredMessages.ToMessage(Full, version: 42, term: 7).ToByteArray());
        Assert.Equal((42, 7), (read.Version, read.Term));
        AssertEqual(Full, StoredMessages.FromMessage(read));
    }

    [Fact]
    public void Invite_is_the_same_after_the_wire()
    {
        foreach (Invite invite in (Invite[])[new("00", "north", Noon, null), new("11", "south", Noon.AddTicks(7), Noon.AddTicks(9))])
            Assert.Equal(invite, StoredMessages.FromMessage(V1.StoredInvite.Parser.ParseFrom(StoredMessages.ToMessage(invite).ToByteArray())));
    }

    internal static void AssertEqual(TopologyMap expected, TopologyMap actual)
    {
        Assert.Equal(expected.ClusterId, actual.ClusterId);
        Assert.Equal(expected.Spus.Select(spu => (spu.Id, string.Join(' ', spu.Endpoints), spu.Zone)), actual.Spus.Select(spu => (spu.Id, string.Join(' ', spu.Endpoints), spu.Zone)));
        Assert.Equal(expected.GeoLocations, actual.GeoLocations);
        Assert.Equal(expected.Topics.Keys, actual.Topics.Keys);
        foreach ((string name, TopicInfo topic) in expected.Topics)
        {
            Assert.Equal(topic.Settings, actual.Topics[name].Settings);
            Assert.Equal(topic.Partitions, actual.Topics[name].Partitions);
        }
    }
}
