using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Topology;
using EdgeStream.ClusterTesting;
using EdgeStream.Testing;

namespace EdgeStream.Cluster.Tests.Controller;

/// <summary>Topics that flow down: which partitions they have, and what is refused.</summary>
public sealed class DownTopicTests : IDisposable
{
    private static readonly TopicSettings Down = new() { Down = DownTo.Everybody, TimeToLive = TimeSpan.FromMinutes(10) };

    private readonly TempDirectory _temp = new();

    public void Dispose() => _temp.Dispose();

    [Fact]
    public async Task One_for_everybody_has_a_partition_for_each_geo_location_that_is_not_revoked()
    {
        await using NodeParts hub = await StartHubAsync("south", "north");
        await hub.Controller.SaveGeoLocationAsync(Geo("gone") with { Revoked = true });
        await hub.Controller.CreateTopicAsync("commands", 0, Down);
        Assert.Equal(["north", "south"], GeosOf(hub, "commands"));

        await hub.Controller.SaveGeoLocationAsync(Geo("east"));
        await hub.Controller.SaveGeoLocationAsync(Geo("east") with { JoinedAt = DateTimeOffset.UnixEpoch });
        await hub.Controller.SaveGeoLocationAsync(Geo("gone"));
        Assert.Equal(["north", "south", "east", "gone"], GeosOf(hub, "commands"));
        Assert.Equal([0, 1, 2, 3], hub.Spu.Partitions.Select(partition => partition.Id.Partition));
        Assert.All(hub.Spu.Partitions, partition => Assert.True(partition.IsDown));
    }

    [Fact]
    public async Task One_for_some_has_theirs_and_no_more_come()
    {
        await using NodeParts hub = await StartHubAsync("north", "south");
        await hub.Controller.CreateTopicAsync("commands", 0, Down, ["south", "south"]);
        await hub.Controller.SaveGeoLocationAsync(Geo("east"));
        Assert.Equal(["south"], GeosOf(hub, "commands"));
    }

    [Fact]
    public async Task Settings_survive_a_restart_and_the_loss_of_the_metadata()
    {
        await using (NodeParts hub = await StartHubAsync("north"))
        {
            await hub.Controller.CreateTopicAsync("commands", 0, Down);
            await hub.Controller.AlterTopicAsync("commands", settings => settings with { TimeToLive = TimeSpan.FromHours(1), Down = DownTo.Nobody });
        }

        await using (NodeParts again = await NodeParts.StartAsync(_temp.Path, isHub: true))
            AssertSettings(again);

        File.Delete(Path.Combine(_temp.Path, LiteDbMetadataStore.FileName));
        await using NodeParts rebuilt = await NodeParts.StartAsync(_temp.Path, isHub: true);
        AssertSettings(rebuilt);
        await rebuilt.Controller.SaveGeoLocationAsync(Geo("east"));
        Assert.Equal(["north", "east"], GeosOf(rebuilt, "commands"));

        static void AssertSettings(NodeParts hub)
        {
            TopicSettings settings = hub.Controller.Current.Topics["commands"].Settings;
            Assert.Equal((DownTo.Everybody, TimeSpan.FromHours(1)), (settings.Down, settings.TimeToLive!.Value));
        }
    }

    [Fact]
    public async Task What_makes_no_sense_at_a_hub_is_refused()
    {
        await using NodeParts hub = await StartHubAsync("north");
        await hub.Controller.SaveGeoLocationAsync(Geo("gone") with { Revoked = true });
        await RefusedAsync(ErrorCode.GeoLocationNotFound, () => hub.Controller.CreateTopicAsync("t", 0, Down, ["north", "nobody"]));
        await RefusedAsync(ErrorCode.InvalidArgument, () => hub.Controller.CreateTopicAsync("t", 0, Down, ["gone"]));
        await RefusedAsync(ErrorCode.InvalidArgument, () => hub.Controller.CreateTopicAsync("t", 1, Down));
        await RefusedAsync(ErrorCode.InvalidArgument, () => hub.Controller.CreateTopicAsync("t", 0, Down with { Mirror = true }));
        await RefusedAsync(ErrorCode.InvalidArgument, () => hub.Controller.CreateTopicAsync("t", 1, new TopicSettings(), ["north"]));
        await RefusedAsync(ErrorCode.InvalidArgument, () => hub.Controller.CreateTopicAsync("t", 1, new TopicSettings { TimeToLive = TimeSpan.FromDays(1) }));
        await RefusedAsync(ErrorCode.InvalidArgument, () => hub.Controller.CreateTopicAsync("t", 0, Down with { TimeToLive = TimeSpan.FromTicks(1) }));
        Assert.Empty(hub.Controller.Current.Topics);

        await hub.Controller.CreateTopicAsync("t", 0, Down);
        await RefusedAsync(ErrorCode.TopicExists, () => hub.Controller.EnsureMirrorPartitionAsync("t", "north"));
    }

    [Fact]
    public async Task Edge_makes_none_itself_but_has_what_the_hub_tells_it_to()
    {
        await using NodeParts edge = await NodeParts.StartAsync(_temp.Path);
        await RefusedAsync(ErrorCode.WrongRole, () => edge.Controller.CreateTopicAsync("commands", 1, Down));
        TopicInfo made = await edge.Controller.EnsureDownTopicAsync("commands", TimeSpan.FromMinutes(1));
        Assert.Equal((true, 1, false), (made.Settings.IsDown, made.Partitions.Length, edge.Log("commands").Settings.IsMirrored));
        await edge.Controller.EnsureDownTopicAsync("commands", TimeSpan.FromMinutes(2));

        // How it is kept is the edge's own business, how long it counts is not.
        await edge.Controller.AlterTopicAsync("commands", _ => new TopicSettings { RetentionAge = TimeSpan.FromDays(1) });
        TopicSettings settings = edge.Controller.Current.Topics["commands"].Settings;
        Assert.Equal((true, TimeSpan.FromMinutes(2), TimeSpan.FromDays(1)), (settings.IsDown, settings.TimeToLive!.Value, settings.RetentionAge!.Value));

        await edge.Controller.CreateTopicAsync("mine", 1, new TopicSettings());
        await RefusedAsync(ErrorCode.TopicExists, () => edge.Controller.EnsureDownTopicAsync("mine", null));
    }

    private static GeoLocationInfo Geo(string name) => new(name, JoinedAt: null, Revoked: false);

    private static IEnumerable<string?> GeosOf(NodeParts hub, string topic) =>
        hub.Controller.Current.Topics[topic].Partitions.Select(partition => partition.GeoLocation);

    private static async Task RefusedAsync(ErrorCode code, Func<Task> call) =>
        Assert.Equal(code, (await Assert.ThrowsAsync<ClusterException>(call)).Code);

    private async Task<NodeParts> StartHubAsync(params string[] geoLocations)
    {
        NodeParts hub = await NodeParts.StartAsync(_temp.Path, isHub: true);
        foreach (string name in geoLocations)
            await hub.Controller.SaveGeoLocationAsync(Geo(name));

        return hub;
    }
}
