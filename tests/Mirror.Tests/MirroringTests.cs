using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;

namespace EdgeStream.Mirror.Tests;

/// <summary>An edge and its hub over real TLS: what is copied, and what happens when either goes away.</summary>
public sealed class MirroringTests : IAsyncLifetime
{
    private InProcessHub _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await InProcessHub.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Backlog_and_what_is_appended_live_arrive_byte_for_byte()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "readings");
        await edge.FillAsync("readings", 300);
        edge.StartUplink();
        await edge.IsMirroredAsync(_hub, "readings");
        for (int i = 0; i < 5; i++)
        {
            await edge.FillAsync("readings", 20);
            await edge.IsMirroredAsync(_hub, "readings");
        }

        Assert.Null(edge.Uplink.State.LastError);
    }

    [Fact]
    public async Task Batch_larger_than_a_chunk_and_one_as_large_as_can_be_are_mirrored()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north", "readings");
        await edge.FillAsync("readings", 3, size: 50_000);
        await edge.Log("readings").AppendAsync(Batches.Of(new string('x', Storage.Records.RecordBatchHeader.MaxBatchSize - 61 - 13)), AckLevel.Durable);
        await edge.FillAsync("readings", 3);
        await edge.IsMirroredAsync(_hub, "readings");
    }

    [Fact]
    public async Task Gap_goes_up_in_the_place_of_its_records_and_the_mirror_goes_on()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "readings");
        PartitionLog log = edge.Log("readings");
        log.Settings = log.Settings with { RetentionBytes = 60_000 };
        await edge.FillAsync("readings", 1500);
        Assert.True(log.Offsets.Start > 0);
        edge.StartUplink();
        await edge.IsMirroredAsync(_hub, "readings");

        // While it is connected as well: the hub does not take anything for a while, and the log is faster.
        await _hub.StopServingAsync();
        await edge.FillAsync("readings", 1500);
        await _hub.StartServingAsync();
        await edge.IsMirroredAsync(_hub, "readings");
        PartitionLog copy = _hub.LogOf("north", "readings")!;
        Assert.Equal(2, log.Gaps.Count);
        Assert.Equal(log.Gaps.Select(Identity), copy.Gaps.Select(Identity));

        // Known at the hub for good, and not sent again.
        await edge.RestartAsync();
        await edge.FillAsync("readings", 10);
        await edge.IsMirroredAsync(_hub, "readings");
        Assert.Equal(log.Gaps.Select(Identity), copy.Gaps.Select(Identity));

        static (long First, long Last, GapReason Reason) Identity(Gap gap) => (gap.First, gap.Last, gap.Reason);
    }

    [Fact]
    public async Task What_the_hub_has_is_no_gap_though_its_acknowledgement_was_lost()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "readings");
        PartitionLog log = edge.Log("readings");
        await edge.FillAsync("readings", 100);

        // The hub takes some, and the edge does not hear of it.
        using (RawUplink uplink = await RawUplink.ConnectAsync(_hub, edge.Identity.Certificate))
        {
            Assert.NotNull((await uplink.OpenAsync("readings", log.Manifest.Incarnation)).Opened);
            using LogReader reader = log.OpenReader(0);
            using LogSlice slice = reader.Read(2000);
            await uplink.SendChunkAsync("readings", slice.Batches.ToArray());
            Assert.Equal(slice.NextOffset, (await uplink.ReceiveAsync()).Ack.DurableEnd);
        }

        long atHub = _hub.LogOf("north", "readings")!.Offsets.Durable;
        log.Settings = log.Settings with { RetentionBytes = 60_000 };
        await edge.FillAsync("readings", 1500);
        Assert.Equal(0, Assert.Single(log.Gaps).First);
        edge.StartUplink();
        await edge.IsMirroredAsync(_hub, "readings");
        Assert.Equal(atHub, Assert.Single(log.Gaps).First);
        Assert.Equal(log.Gaps, _hub.LogOf("north", "readings")!.Gaps);
    }

    [Fact]
    public async Task Mirrored_acknowledgement_comes_from_the_hub()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "readings");
        Task<AppendedRange> append = await edge.Log("readings").EnqueueAsync(Batches.Of("a"), AckLevel.Mirrored);
        await edge.Log("readings").WaitForDurableAsync(1, CancellationToken.None).InTimeAsync();
        Assert.False(append.IsCompleted);
        edge.StartUplink();
        await append.InTimeAsync();
        Assert.Equal(1, _hub.LogOf("north", "readings")!.Offsets.Durable);
    }

    [Fact]
    public async Task Nothing_is_acknowledged_that_is_not_durable_at_the_hub()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north", "readings");
        await edge.FillAsync("readings", 1);
        await edge.IsMirroredAsync(_hub, "readings");
        using var syncMayRun = new ManualResetEventSlim(false);
        _hub.Files.BeforeSync = _ => Assert.True(syncMayRun.Wait(Eventually.Deadline));
        await edge.FillAsync("readings", 5);
        PartitionLog copy = _hub.LogOf("north", "readings")!;
        await Eventually.HoldsAsync(() => copy.Offsets.End > 1, "the hub has written more");
        Assert.Equal(1, edge.Log("readings").Offsets.Mirrored);
        syncMayRun.Set();
        await edge.IsMirroredAsync(_hub, "readings");
        _hub.Files.BeforeSync = null;
    }

    [Fact]
    public async Task Mirror_goes_on_after_the_hub_was_away()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north", "readings");
        for (int i = 0; i < 3; i++)
        {
            await edge.FillAsync("readings", 50);
            await edge.IsMirroredAsync(_hub, "readings");
            await _hub.StopServingAsync();
            await edge.FillAsync("readings", 50);
            await Eventually.HoldsAsync(() => !edge.Uplink.State.Connected, "the edge is offline");
            await _hub.StartServingAsync();
        }

        await edge.IsMirroredAsync(_hub, "readings");
        Assert.Equal(3, edge.Uplink.State.Reconnects);
    }

    [Fact]
    public async Task Mirror_goes_on_after_the_hub_stopped_in_the_midst_of_a_backlog()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "readings");
        await edge.FillAsync("readings", 600, size: 300);
        edge.StartUplink();
        for (int i = 1; i <= 3; i++)
        {
            long some = 100 * i;
            await Eventually.HoldsAsync(() => _hub.LogOf("north", "readings")?.Offsets.Durable > some, "some of it is there");
            await _hub.StopServingAsync();
            await _hub.StartServingAsync();
        }

        await edge.IsMirroredAsync(_hub, "readings");
    }

    [Fact]
    public async Task Mirror_goes_on_after_the_edge_was_restarted()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north", "readings");
        for (int i = 0; i < 3; i++)
        {
            await edge.FillAsync("readings", 100);
            await edge.RestartAsync();
            await edge.FillAsync("readings", 10);
            await edge.IsMirroredAsync(_hub, "readings");
        }
    }

    [Fact]
    public async Task Topic_made_later_is_mirrored_and_one_that_is_no_mirror_is_not()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north");
        await edge.IsConnectedAsync();
        await edge.Parts.Controller.CreateTopicAsync("private", 1, new TopicSettings());
        await edge.Parts.Log("private").AppendAsync(Batches.Of("secret"), AckLevel.Durable);
        await edge.CreateTopicAsync("later");
        await edge.FillAsync("later", 10);
        await edge.IsMirroredAsync(_hub, "later");
        Assert.Equal(["later"], _hub.Parts.Controller.Current.Topics.Keys);
    }

    [Fact]
    public async Task Topic_that_the_hub_wants_is_made_at_the_edge()
    {
        await _hub.Parts.Controller.CreateTopicAsync("wanted", 0, new TopicSettings(Mirror: true));
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north");
        await Eventually.HoldsAsync(() => edge.Parts.Controller.Current.Topics.ContainsKey("wanted"), "the topic is made");
        await edge.FillAsync("wanted", 10);
        await edge.IsMirroredAsync(_hub, "wanted");
    }

    [Fact]
    public async Task Topic_deleted_at_the_edge_leaves_the_others_alone()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north", "a", "b");
        await edge.FillAsync("a", 10);
        await edge.FillAsync("b", 10);
        await edge.IsMirroredAsync(_hub, "a");
        await edge.Parts.Controller.DeleteTopicAsync("a");
        await edge.FillAsync("b", 10);
        await edge.IsMirroredAsync(_hub, "b");
        Assert.Equal((true, 0L), (edge.Uplink.State.Connected, edge.Uplink.State.Reconnects));
    }

    [Fact]
    public async Task Two_geo_locations_fill_partitions_of_their_own()
    {
        await using InProcessEdge north = await InProcessEdge.JoinAsync(_hub, "north", "readings");
        await using InProcessEdge south = await InProcessEdge.JoinAsync(_hub, "south", "readings");
        await Task.WhenAll(north.FillAsync("readings", 100), south.FillAsync("readings", 70));
        await north.IsMirroredAsync(_hub, "readings");
        await south.IsMirroredAsync(_hub, "readings");
        Assert.Equal(2, _hub.Parts.Controller.Current.Topics["readings"].Partitions.Length);
    }

    [Fact]
    public async Task Large_backlog_of_one_topic_does_not_starve_the_others()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "a-large", "b-small", "c-small");
        await edge.FillAsync("a-large", 400, size: 20_000);
        await edge.FillAsync("b-small", 5);
        await edge.FillAsync("c-small", 5);
        edge.StartUplink();
        await edge.IsMirroredAsync(_hub, "b-small");
        await edge.IsMirroredAsync(_hub, "c-small");
        Assert.True(edge.Log("a-large").Offsets.Mirrored < edge.Log("a-large").Offsets.Durable);
        await edge.IsMirroredAsync(_hub, "a-large");
    }

    [Fact]
    public async Task Full_disk_at_the_hub_only_delays()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north", "readings");
        await edge.FillAsync("readings", 10);
        await edge.IsMirroredAsync(_hub, "readings");
        _hub.Files.BeforeWrite = _ => throw FaultyFiles.DiskFull();
        await edge.FillAsync("readings", 30);
        await edge.FailsWithAsync("no room");
        Assert.Empty(edge.Uplink.Problems);
        _hub.Files.BeforeWrite = null;
        await edge.IsMirroredAsync(_hub, "readings");
        Assert.Equal((true, 0L), (edge.Uplink.State.Connected, edge.Uplink.State.Reconnects));
    }

    [Fact]
    public async Task Refusals_do_not_use_up_the_credit()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "good", "bad");
        edge.StartUplink(new UplinkOptions { ChunkBytes = 1024 * 1024, RefusedRetry = TimeSpan.FromMilliseconds(1) });
        await edge.FillAsync("bad", 1);
        await edge.IsMirroredAsync(_hub, "bad");
        _hub.Files.BeforeWrite = _ => throw FaultyFiles.DiskFull();
        await edge.FillAsync("bad", 60, size: 100_000);
        await edge.FailsWithAsync("no room");
        Assert.Empty(edge.Uplink.Problems);
        long sent = edge.Uplink.State.SentBytes;
        await Eventually.HoldsAsync(() => edge.Uplink.State.SentBytes > sent + (20 * 1024 * 1024), "far more than the credit was sent");
        _hub.Files.BeforeWrite = null;
        await edge.FillAsync("good", 5);
        await edge.IsMirroredAsync(_hub, "good");
        await edge.IsMirroredAsync(_hub, "bad");
        Assert.Equal(0, edge.Uplink.State.Reconnects);
    }

    [Fact]
    public async Task Second_connection_of_a_geo_location_ends_the_first()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "readings");
        using RawUplink first = await RawUplink.ConnectAsync(_hub, edge.Identity.Certificate);
        using RawUplink second = await RawUplink.ConnectAsync(_hub, edge.Identity.Certificate);
        Assert.Contains("connected anew", (await first.EndsAsync()).Status.Detail, StringComparison.Ordinal);
        Assert.NotNull((await second.OpenAsync("readings", Guid.NewGuid())).Opened);
    }

    [Fact]
    public async Task Revoked_geo_location_is_cut_off_at_once_though_it_is_silent()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north", "readings");
        await edge.FillAsync("readings", 10);
        await edge.IsMirroredAsync(_hub, "readings");
        await _hub.Issuer.RevokeAsync("north");
        await edge.IsStuckAsync("revoked");
        await edge.FillAsync("readings", 10);
        await edge.IsStuckAsync("revoked");
        Assert.True(_hub.LogOf("north", "readings")!.Offsets.End < edge.Log("readings").Offsets.End);
    }

    [Fact]
    public async Task Stopping_hub_does_not_wait_for_its_edges()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north", "readings");
        await edge.IsConnectedAsync();
        await _hub.StopServingAsync().WaitAsync(TimeSpan.FromSeconds(10));
        await Eventually.HoldsAsync(() => !edge.Uplink.State.Connected, "the edge is offline");
    }
}
