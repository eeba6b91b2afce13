using EdgeStream.Cluster;
using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;

namespace EdgeStream.Mirror.Tests;

/// <summary>
/// A card that was replaced, one that was restored from an old image, and one that runs twice are told from the same card; none
/// writes over what the hub has, and each has a way out.
/// </summary>
public sealed class CardTests : IAsyncLifetime
{
    private readonly TempDirectory _temp = new();
    private InProcessHub _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await InProcessHub.StartAsync();

    public async ValueTask DisposeAsync()
    {
        await _hub.DisposeAsync();
        _temp.Dispose();
    }

    [Fact]
    public async Task New_card_goes_on_at_the_next_offset_with_what_it_has()
    {
        await using InProcessEdge old = await InProcessEdge.JoinAsync(_hub, "north", "readings", "only-once");
        await old.FillAsync("readings", 40);
        await old.FillAsync("only-once", 5);
        await old.IsMirroredAsync(_hub, "readings");
        await old.IsMirroredAsync(_hub, "only-once");
        long end = old.Log("readings").Offsets.Durable;
        List<string> before = Batches.ReadValues(_hub.LogOf("north", "readings")!);

        // It has taken readings before it joins.
        await using InProcessEdge card = await InProcessEdge.OpenAsync("north");
        await card.CreateTopicAsync("readings");
        await card.FillAsync("readings", 30, size: 20);
        List<string> taken = Batches.ReadValues(card.Log("readings"));

        string token = await _hub.InviteAsync("north");
        var refused = await Assert.ThrowsAsync<ClusterException>(() => HubEnroller.JoinAsync(
            card.DataDirectory, _hub.Address, token, JoiningCard.New, CancellationToken.None));
        Assert.Equal(ErrorCode.IncarnationMismatch, refused.Code);
        Assert.Contains("--replace", refused.Message, StringComparison.Ordinal);
        await old.FillAsync("readings", 1);
        await old.IsMirroredAsync(_hub, "readings");
        end++;
        before = Batches.ReadValues(_hub.LogOf("north", "readings")!);

        await card.JoinAsync(_hub, replacesCard: true);
        await old.IsStuckAsync("has joined again");
        card.StartUplink();
        await Eventually.HoldsAsync(() => _hub.LogOf("north", "readings")!.Offsets.Durable == end + taken.Count, "what the new card had is there");
        await card.FillAsync("readings", 10);
        await card.IsMirroredAsync(_hub, "readings");
        Assert.Equal(end, card.Log("readings").Manifest.FirstOffset);
        Assert.Equal([.. before, .. taken], Batches.ReadValues(_hub.LogOf("north", "readings")!).Take(before.Count + taken.Count));
        Assert.Empty(_hub.LogOf("north", "readings")!.Gaps);

        // A topic that only the old card had goes on as well.
        await card.FillAsync("only-once", 5);
        await card.IsMirroredAsync(_hub, "only-once");
        await card.RestartAsync();
        await card.FillAsync("readings", 10);
        await card.IsMirroredAsync(_hub, "readings");
    }

    [Fact]
    public async Task Card_restored_from_an_image_is_told_and_goes_on_behind_what_the_hub_has()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north", "readings");
        await edge.FillAsync("readings", 40);
        await edge.IsMirroredAsync(_hub, "readings");
        string image = await edge.CopyCardAsync(_temp);
        edge.StartUplink();
        await edge.FillAsync("readings", 20);
        await edge.IsMirroredAsync(_hub, "readings");
        await edge.StopUplinkAsync();
        List<string> before = Batches.ReadValues(_hub.LogOf("north", "readings")!);

        // It has taken more readings than the hub got of the other one: its length says nothing.
        await using InProcessEdge restored = await InProcessEdge.OpenAsync("north", image);
        long atImage = restored.Log("readings").Offsets.Durable;
        await restored.FillAsync("readings", 60, size: 30);
        restored.StartUplink();
        await restored.IsStuckAsync("restored from an old image, or a copy");
        Assert.Equal(before, Batches.ReadValues(_hub.LogOf("north", "readings")!));

        // Also where the hub's memory of it is lost: the data itself tells.
        await restored.StopUplinkAsync();
        await _hub.Parts.Store.UpdateStartTokensAsync("north", _ => null);
        restored.StartUplink();
        await restored.IsStuckAsync("holds other records");
        await Eventually.HoldsAsync(
            () => _hub.Parts.Spu.Partitions.Any(partition => partition.MirrorProblem?.Contains("holds other records", StringComparison.Ordinal) == true),
            "the hub shows it, too");
        Assert.Equal(before, Batches.ReadValues(_hub.LogOf("north", "readings")!));

        await restored.StopUplinkAsync();
        List<string> taken = Batches.ReadValues(restored.Log("readings"), from: atImage);
        await restored.JoinAsync(_hub, replacesCard: true);
        restored.StartUplink();
        await Eventually.HoldsAsync(() => restored.Uplink.State.Connected, "it is let in");
        await restored.FillAsync("readings", 5);
        await restored.IsMirroredAsync(_hub, "readings");
        Assert.Equal([.. before, .. taken], Batches.ReadValues(_hub.LogOf("north", "readings")!).Take(before.Count + taken.Count));
    }

    [Fact]
    public async Task Of_two_that_run_with_one_card_the_second_is_kept_out()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north", "readings");
        await edge.FillAsync("readings", 20);
        await edge.IsMirroredAsync(_hub, "readings");
        string image = await edge.CopyCardAsync(_temp);
        edge.StartUplink();
        await edge.IsConnectedAsync();
        await edge.FillAsync("readings", 1);
        await edge.IsMirroredAsync(_hub, "readings");

        await using InProcessEdge copy = await InProcessEdge.OpenAsync("north", image);
        await copy.FillAsync("readings", 50);
        copy.StartUplink();
        await copy.IsStuckAsync("a copy of it runs elsewhere");

        // The hub tells of it too, though the right card is connected.
        GeoLocationRefusal refusal = _hub.Presence.Refusals.Find("north")!;
        Assert.Contains("a copy of it runs elsewhere", refusal.Reason, StringComparison.Ordinal);
        Assert.Equal("127.0.0.1", refusal.Address);
        Assert.True(_hub.Presence.IsOnline("north"));
        await edge.FillAsync("readings", 20);
        await edge.IsMirroredAsync(_hub, "readings");
        Assert.Equal((true, 0L), (edge.Uplink.State.Connected, edge.Uplink.State.Reconnects));

        // The same card stays the same over restarts and breaks of the link.
        await edge.RestartAsync();
        await _hub.StopServingAsync();
        await _hub.StartServingAsync();
        await edge.FillAsync("readings", 5);
        await edge.IsMirroredAsync(_hub, "readings");
    }

    [Fact]
    public async Task Power_cut_between_the_hubs_token_and_the_edges_keeping_it_locks_nobody_out()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north", "readings");
        await edge.FillAsync("readings", 5);
        await edge.IsMirroredAsync(_hub, "readings");
        await edge.StopUplinkAsync();

        // A start whose token never arrived.
        using (RawUplink uplink = await RawUplink.ConnectAsync(_hub, edge.Identity.Certificate, ShownBy(edge), newStart: true))
            Assert.NotEqual("", uplink.Welcome.StartToken);

        await edge.RestartAsync();
        await edge.FillAsync("readings", 5);
        await edge.IsMirroredAsync(_hub, "readings");
    }

    [Fact]
    public async Task Hub_whose_records_were_wiped_gets_what_the_edge_still_has_and_a_gap()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north", "readings");
        await edge.FillAsync("readings", 300);
        await edge.IsMirroredAsync(_hub, "readings");
        PartitionLog log = edge.Log("readings");
        log.Settings = log.Settings with { RetentionBytes = 20_000 };
        for (int i = 0; i < 4; i++)
        {
            // Less at once than is kept: what the hub does not have yet is not to be dropped here.
            await edge.FillAsync("readings", 25);
            await edge.IsMirroredAsync(_hub, "readings");
        }

        Assert.True(log.StartOffset > 0);
        Assert.Empty(log.Gaps);

        await edge.StopUplinkAsync();
        await _hub.Parts.Controller.DeleteTopicAsync("readings");
        edge.StartUplink();
        await Eventually.HoldsAsync(() => _hub.LogOf("north", "readings")?.Offsets.Durable == log.Offsets.Durable, "all that is left is there again");
        PartitionLog copy = _hub.LogOf("north", "readings")!;
        Assert.Equal((0, log.StartOffset - 1), (copy.Gaps[0].First, copy.Gaps[0].Last));
        await edge.IsMirroredAsync(_hub, "readings");
    }

    private static string ShownBy(InProcessEdge edge) =>
        File.ReadAllText(Path.Combine(edge.DataDirectory, "identity", edge.Identity.Id, "start-token")).Trim();
}
