using EdgeStream.Mirror.Uplink;
using EdgeStream.Testing;

namespace EdgeStream.Mirror.Tests;

/// <summary>An edge that mirrors to two hubs at once, over real TLS.</summary>
public sealed class SeveralHubsTests
{
    [Theory]
    [InlineData(MirrorRule.All)]
    [InlineData(MirrorRule.Any)]
    public async Task Both_get_all_under_the_name_that_the_edge_has_there(MirrorRule rule)
    {
        await using InProcessHubs hubs = await InProcessHubs.StartAsync(rule);
        await hubs.FillAsync();
        await EndsEqualAsync(hubs);
        Assert.Equal(["norden", "north"], hubs.Uplinks.Select(uplink => uplink.Identity.GeoLocation).Order());
        Assert.All(hubs.Uplinks, uplink => Assert.Null(uplink.State.LastError));
        Assert.Null(hubs.First.LogOf("norden", InProcessHubs.Topic));
    }

    [Fact]
    public async Task Hub_that_is_away_holds_up_what_all_must_have()
    {
        await using InProcessHubs hubs = await InProcessHubs.StartAsync(MirrorRule.All);
        await hubs.FillAsync();
        await EndsEqualAsync(hubs);
        long before = hubs.Log.Offsets.Mirrored;

        await hubs.Second.StopServingAsync();
        await hubs.FillAsync();
        await hubs.HasAllAsync(() => hubs.CopyAtFirst);
        HubUplink first = hubs.Uplinks.Single(uplink => uplink.Identity.Hub == hubs.First.Address);
        await Eventually.HoldsAsync(() => first.Marks.Of(hubs.Log) == hubs.Log.Offsets.Durable, "the first hub has acknowledged all");
        Assert.Equal(before, hubs.Log.Offsets.Mirrored);

        // Nor does a restart make it forget the one that is away.
        await hubs.RestartEdgeAsync();
        await hubs.FillAsync();
        await hubs.HasAllAsync(() => hubs.CopyAtFirst);
        first = hubs.Uplinks.Single(uplink => uplink.Identity.Hub == hubs.First.Address);
        await Eventually.HoldsAsync(() => first.Marks.Of(hubs.Log) == hubs.Log.Offsets.Durable, "the first hub has acknowledged all");
        Assert.True(hubs.Log.Offsets.Mirrored <= before);

        await hubs.Second.StartServingAsync();
        await EndsEqualAsync(hubs);
    }

    [Fact]
    public async Task Hub_that_is_away_does_not_matter_where_any_will_do()
    {
        await using InProcessHubs hubs = await InProcessHubs.StartAsync(MirrorRule.Any);
        await hubs.Second.StopServingAsync();
        await hubs.FillAsync();
        await hubs.MirroredIsAsync(hubs.Log.Offsets.Durable);
        await hubs.First.StopServingAsync();
        await hubs.Second.StartServingAsync();
        await hubs.FillAsync();
        await hubs.MirroredIsAsync(hubs.Log.Offsets.Durable);

        await hubs.First.StartServingAsync();
        await EndsEqualAsync(hubs);
    }

    [Fact]
    public async Task Hub_that_is_left_holds_up_nothing_any_more()
    {
        await using InProcessHubs hubs = await InProcessHubs.StartAsync(MirrorRule.All);
        await hubs.FillAsync();
        await EndsEqualAsync(hubs);
        await hubs.Second.StopServingAsync();
        await hubs.FillAsync();
        await hubs.HasAllAsync(() => hubs.CopyAtFirst);
        await hubs.LeaveAsync(hubs.Second);
        await hubs.MirroredIsAsync(hubs.Log.Offsets.Durable);

        await hubs.RestartEdgeAsync();
        await hubs.FillAsync();
        await hubs.MirroredIsAsync(hubs.Log.Offsets.Durable);
        Assert.Single(hubs.Uplinks);
    }

    private static async Task EndsEqualAsync(InProcessHubs hubs)
    {
        await hubs.HasAllAsync(() => hubs.CopyAtFirst);
        await hubs.HasAllAsync(() => hubs.CopyAtSecond);
        await hubs.MirroredIsAsync(hubs.Log.Offsets.Durable);
    }
}
