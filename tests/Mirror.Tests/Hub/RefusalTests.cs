using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Topology;
using EdgeStream.Testing;
using Grpc.Core;

namespace EdgeStream.Mirror.Tests.Hub;

/// <summary>What a hub tells of links, and of those whom it did not let in.</summary>
public sealed class RefusalTests
{
    [Fact]
    public async Task Revoked_card_and_card_of_another_hub_are_told_of()
    {
        await using InProcessHub hub = await InProcessHub.StartAsync(), other = await InProcessHub.StartAsync();
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(hub, "north");
        await using InProcessEdge stranger = await InProcessEdge.JoinWithoutUplinkAsync(other, "south");
        await hub.Issuer.RevokeAsync("north");
        foreach (InProcessEdge card in (InProcessEdge[])[edge, edge, stranger])
            await Assert.ThrowsAsync<RpcException>(() => RawUplink.ConnectAsync(hub, card.Identity.Certificate));

        V1.Topology topology = TopologyMessages.ToMessage(hub.Parts.Controller.Current, hub.Presence, hub.Parts.Controller.StatusOf);
        V1.Refusal refusal = Assert.Single(topology.GeoLocations).Refusal;
        Assert.Equal(("north", 2, "127.0.0.1"), (refusal.GeoLocation, refusal.Count, refusal.Address));
        Assert.Contains("'north' was revoked", refusal.Reason, StringComparison.Ordinal);

        // It may call itself anything, so it is told of without a name.
        Assert.Equal(["", "north"], hub.Presence.Refusals.Shown.Select(shown => shown.GeoLocation));
        Assert.Contains("not issued by this cluster's CA", hub.Presence.Refusals.Find("")!.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Refusal_goes_when_nobody_comes_again_while_there_is_a_link()
    {
        var time = new Microsoft.Extensions.Time.Testing.FakeTimeProvider();
        var presence = new GeoLocationPresence(time);
        presence.Refusals.Note("north", "a copy", "10.0.0.1");
        time.Advance(TimeSpan.FromHours(1));
        Assert.NotNull(presence.Refusals.Find("north"));

        presence.Connected("north");
        Assert.Null(presence.Refusals.Find("north"));
        presence.Refusals.Note("north", "a copy", "10.0.0.1");
        Assert.Equal(2, presence.Refusals.Find("north")!.Count);
        time.Advance(GeoLocationRefusals.ShownBesideLink);
        Assert.Null(presence.Refusals.Find("north"));
    }

    [Fact]
    public void Refusals_are_logged_now_and_then_and_kept_in_bounded_number()
    {
        var time = new Microsoft.Extensions.Time.Testing.FakeTimeProvider();
        var refusals = new GeoLocationRefusals(_ => false, time);
        Assert.True(refusals.Note("north", "a copy", "10.0.0.1"));
        Assert.False(refusals.Note("north", "a copy", "10.0.0.2"));
        Assert.True(refusals.Note("north", "revoked", "10.0.0.2"));
        time.Advance(TimeSpan.FromMinutes(10));
        Assert.True(refusals.Note("north", "revoked", "10.0.0.2"));

        for (int i = 0; i < GeoLocationRefusals.MaxKept; i++)
        {
            time.Advance(TimeSpan.FromMilliseconds(1));
            refusals.Note($"site-{i}", "revoked", "");
        }

        Assert.Equal(GeoLocationRefusals.MaxKept, refusals.Shown.Count);
        Assert.Null(refusals.Find("north"));
    }

    [Fact]
    public void Rate_is_that_of_late_and_falls_when_nothing_comes()
    {
        var time = new Microsoft.Extensions.Time.Testing.FakeTimeProvider();
        var traffic = new GeoLocationTraffic(time);
        for (int i = 0; i < 60; i++)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            traffic.CountMessage(100);
            traffic.CountBatches(1000);
        }

        Assert.Equal(1000, traffic.BatchBytesPerSecond, 50.0);
        Assert.Equal(60_000, traffic.BatchBytes);
        Assert.InRange(traffic.WireBytes, 6000, 7000);
        time.Advance(TimeSpan.FromMinutes(5));
        Assert.Equal(0, traffic.BatchBytesPerSecond, 1.0);
    }

    [Fact]
    public async Task What_came_up_is_counted_and_why_a_link_ended_is_kept()
    {
        await using InProcessHub hub = await InProcessHub.StartAsync();
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(hub, "north", "t");
        await edge.FillAsync("t", 100, size: 500);
        await edge.IsMirroredAsync(hub, "t");
        GeoLocationTraffic traffic = hub.Presence.TrafficOf("north");
        Assert.True(traffic.BatchBytes >= 100 * 500);
        Assert.InRange(traffic.WireBytes, 1, traffic.BatchBytes / 2);

        await hub.Issuer.RevokeAsync("north");
        await Eventually.HoldsAsync(() => hub.Presence.LinkError("north")?.Contains("revoked", StringComparison.Ordinal) == true, "the hub says why");
    }
}
