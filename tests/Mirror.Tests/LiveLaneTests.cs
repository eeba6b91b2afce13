using System.Diagnostics;
using System.Text;
using EdgeStream.Cluster;
using EdgeStream.Mirror.Live;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using EdgeStream.Testing;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.Extensions.Time.Testing;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Mirror.Tests;

/// <summary>The latest values are at the hub while their history is still under way, and never older than the log.</summary>
public sealed class LiveLaneTests : IAsyncLifetime
{
    private InProcessHub _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await InProcessHub.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Latest_values_come_ahead_of_the_backlog_and_are_superseded_by_it()
    {
        await using InProcessEdge edge = await StartAsync();
        await edge.FillAsync("readings", 3);
        await edge.IsMirroredAsync(_hub, "readings");

        // The ordered lane is stuck: the hub's log takes nothing.
        _hub.Files.BeforeWrite = _ => throw FaultyFiles.DiskFull();
        long first = await AppendAsync(edge, ("boiler", "70"), ("pump", "on"), ("boiler", "71"));
        await Eventually.HoldsAsync(() => Latest() is ["pump=on live", "boiler=71 live"], "the latest are there");
        await AppendAsync(edge, ("boiler", "72"));
        await Eventually.HoldsAsync(() => Latest() is ["pump=on live", "boiler=72 live"], "a newer one is there");
        Assert.Equal(first, _hub.LogOf("north", "readings")!.Offsets.Durable);

        _hub.Files.BeforeWrite = null;
        await edge.IsMirroredAsync(_hub, "readings");
        Assert.Equal(["pump=on ordered", "boiler=72 ordered"], Latest());

        // From here on the ordered lane is as fast: it alone brings what is new, and the hub knows.
        await AppendAsync(edge, ("boiler", "73"));
        await edge.IsMirroredAsync(_hub, "readings");
        Assert.Equal(["pump=on ordered", "boiler=73 ordered"], Latest());
    }

    [Fact]
    public async Task Nothing_is_told_where_there_is_no_backlog()
    {
        await using InProcessEdge edge = await StartAsync();
        foreach (string key in (string[])["a", "b", "c"])
        {
            await AppendAsync(edge, (key, "in time"));
            await edge.IsMirroredAsync(_hub, "readings");
        }

        // What the lane tells first is what is behind; it has passed over the others.
        _hub.Files.BeforeWrite = _ => throw FaultyFiles.DiskFull();
        await AppendAsync(edge, ("late", "1"));
        await Eventually.HoldsAsync(() => Latest().Length > 0, "something is told");
        Assert.Equal(["late=1 live"], Latest());
        _hub.Files.BeforeWrite = null;
        await edge.IsMirroredAsync(_hub, "readings");
    }

    [Fact]
    public async Task Key_that_is_written_all_the_time_is_told_again_and_again_while_the_ordered_lane_is_stuck()
    {
        await using InProcessEdge edge = await StartAsync();
        await edge.FillAsync("readings", 1);
        await edge.IsMirroredAsync(_hub, "readings");

        _hub.Files.BeforeWrite = _ => throw FaultyFiles.DiskFull();
        var told = new HashSet<string>();
        using var deadline = new CancellationTokenSource(Eventually.Deadline);
        using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(200));
        for (int i = 0; told.Count < 3; i++)
        {
            await AppendAsync(edge, ("boiler", $"{i}"));
            told.UnionWith(Latest());
            Assert.True(await pace.WaitForNextTickAsync(deadline.Token));
        }

        _hub.Files.BeforeWrite = null;
        await edge.IsMirroredAsync(_hub, "readings");
    }

    [Fact]
    public async Task Ordered_lane_goes_on_beside_the_live_one_and_both_keep_to_the_bandwidth()
    {
        const int Rate = 8000, Keys = 100;
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "readings");
        long start = Stopwatch.GetTimestamp();
        edge.StartUplink(
            InProcessEdge.Impatient with { BytesPerSecond = Rate },
            [new LiveLane(edge.Parts.Controller, new HashSet<string> { "readings" }, TimeProvider.System)]);

        // Ten times as much as may go.
        byte[] value = new byte[800];
        string? waiting = null;
        using var deadline = new CancellationTokenSource(Eventually.Deadline);
        using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
        while (edge.Log("readings").Offsets.Mirrored < 60)
        {
            using var writer = new RecordBatchWriter();
            for (int i = 0; i < 10; i++)
            {
                Random.Shared.NextBytes(value);
                writer.Append(new Record(0, BitConverter.GetBytes(Random.Shared.Next(Keys)), value));
            }

            await edge.Log("readings").AppendAsync(writer.Build(), AckLevel.Durable);
            waiting ??= edge.Uplink.State.Waiting;
            Assert.True(await pace.WaitForNextTickAsync(deadline.Token));
        }

        Assert.Contains("uplink.bandwidth lets 64 kbit/s through", waiting, StringComparison.Ordinal);
        await Eventually.HoldsAsync(
            () => _hub.Latest.ReadAsync("readings", "north", CancellationToken.None).GetAwaiter().GetResult().Any(latest => !latest.Ordered), "something was told ahead");
        double most = ((Stopwatch.GetElapsedTime(start).TotalSeconds + 2) * Rate) + 10_000;
        Assert.InRange(edge.Uplink.State.WireSentBytes, 0, most);
    }

    [Fact]
    public async Task Nothing_is_told_while_the_months_data_is_used_up()
    {
        var calendar = new FakeTimeProvider(new DateTimeOffset(2030, 6, 14, 12, 0, 0, TimeSpan.Zero));
        calendar.SetLocalTimeZone(TimeZoneInfo.Utc);
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "readings");
        edge.StartUplink(
            InProcessEdge.Impatient with { DataPlan = new DataPlanOptions(1000) },
            [new LiveLane(edge.Parts.Controller, new HashSet<string> { "readings" }, TimeProvider.System)],
            limitsTime: calendar);
        await Eventually.HoldsAsync(() => _hub.LogOf("north", "readings") is not null, "the topic is open");
        await AppendAsync(edge, ("boiler", "70"));
        using var pace = new PeriodicTimer(TimeSpan.FromSeconds(1));
        for (int i = 0; i < 5; i++)
        {
            Assert.Empty(Latest());
            await pace.WaitForNextTickAsync();
        }

        Assert.Contains("is used up", edge.Uplink.State.Waiting, StringComparison.Ordinal);
        calendar.SetUtcNow(new DateTimeOffset(2030, 7, 1, 0, 0, 1, TimeSpan.Zero));
        await Eventually.HoldsAsync(() => edge.Uplink.State.Waiting is null, "the month's data may be used");
    }

    [Fact]
    public async Task Edge_tells_of_its_own_topics_only_and_within_bounds()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north", "readings");
        await edge.FillAsync("readings", 1);
        await edge.IsMirroredAsync(_hub, "readings");
        using var channel = _hub.ChannelAs(edge.Identity.Certificate);
        using (var call = new V1.Live.LiveClient(channel).Report())
        {
            await call.RequestStream.WriteAsync(new V1.LiveUpdate { Topic = "other" });
            var refused = await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None).InTimeAsync());
            Assert.Equal(StatusCode.NotFound, refused.StatusCode);
        }

        using (var call = new V1.Live.LiveClient(channel).Report())
        {
            for (int i = 0; i < 40; i++)
            {
                var update = new V1.LiveUpdate { Topic = "readings" };
                for (int key = 0; key < 100; key++)
                {
                    int number = (i * 100) + key;
                    update.Values.Add(new V1.LiveValue { Key = ByteString.CopyFromUtf8($"k{number}"), Value = ByteString.CopyFrom(new byte[2000]), Offset = 1000 + number });
                }

                update.Values.Add(new V1.LiveValue { Value = ByteString.CopyFrom(new byte[1_000_000]), Offset = long.MaxValue });
                await call.RequestStream.WriteAsync(update);
                Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None).InTimeAsync());
                Assert.Equal(100, call.ResponseStream.Current.Values);
            }

            IReadOnlyList<V1.LatestValue> known = await _hub.Latest.ReadAsync("readings", "north", CancellationToken.None);
            Assert.InRange(known.Sum(latest => latest.Value.CalculateSize()), 500_000, 1_200_000);
            Assert.Equal("k3999", known[^1].Value.Key.ToStringUtf8());

            await _hub.Issuer.RevokeAsync("north");
            await call.RequestStream.WriteAsync(new V1.LiveUpdate { Topic = "readings" });
            var revoked = await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None).InTimeAsync());
            Assert.Equal(StatusCode.Unauthenticated, revoked.StatusCode);
        }

        Assert.Equal(ErrorCode.GeoLocationNotFound, (await Assert.ThrowsAsync<ClusterException>(() => _hub.Latest.ReadAsync("readings", "south", CancellationToken.None))).Code);
    }

    [Fact]
    public async Task Card_that_was_replaced_tells_nothing_more()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north", "readings");
        await edge.FillAsync("readings", 1);
        await edge.IsMirroredAsync(_hub, "readings");
        using var channel = _hub.ChannelAs(edge.Identity.Certificate);
        using var call = new V1.Live.LiveClient(channel).Report();
        await call.RequestStream.WriteAsync(new V1.LiveUpdate { Topic = "readings" });
        Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None).InTimeAsync());

        await using InProcessEdge card = await InProcessEdge.OpenAsync("north");
        await card.JoinAsync(_hub, replacesCard: true);
        await call.RequestStream.WriteAsync(new V1.LiveUpdate { Topic = "readings" });
        var refused = await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None).InTimeAsync());
        Assert.Equal(StatusCode.Unauthenticated, refused.StatusCode);
        Assert.Contains("has joined again since", refused.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public void Key_that_is_written_again_keeps_its_turn()
    {
        var latest = new LatestByKey();
        foreach ((int offset, byte key) in ((int, byte)[])[(0, 1), (1, 2), (2, 1), (3, 3)])
            latest.Take(new Record(offset, 0, new byte[] { key }, new byte[1], []));

        Assert.Equal([2, 1, 3], latest.Waiting.Select(value => value.Offset));
        Assert.Equal([1, 2, 3], latest.Values.Select(value => value.Offset));
        latest.Remove(latest.Waiting.First());
        latest.Take(new Record(4, 0, new byte[] { 1 }, new byte[1], []));
        Assert.Equal([1, 3, 4], latest.Waiting.Select(value => value.Offset));
    }

    [Fact]
    public void Of_too_many_keys_those_written_last_are_kept()
    {
        var latest = new LatestByKey();
        for (int i = 0; i < 3 * LatestByKey.MaxKeys; i++)
            latest.Take(new Record(i, 0, BitConverter.GetBytes(i), BitConverter.GetBytes(i), []));

        latest.Take(new Record(0, 0, BitConverter.GetBytes(3), new byte[LatestByKey.MaxValueBytes + 1], []));
        Assert.Equal(Enumerable.Range(2 * LatestByKey.MaxKeys, LatestByKey.MaxKeys).Select(i => (long)i), latest.Values.Select(value => value.Offset));

        // An older one of a key does not come back.
        Assert.False(latest.TryTake(new V1.LiveValue { Key = ByteString.CopyFrom(BitConverter.GetBytes(2500)), Offset = 2499 }));
    }

    private async Task<InProcessEdge> StartAsync()
    {
        InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "readings");
        edge.StartUplink(lanes: [new LiveLane(edge.Parts.Controller, new HashSet<string> { "readings" }, TimeProvider.System)]);
        return edge;
    }

    private static async Task<long> AppendAsync(InProcessEdge edge, params (string Key, string Value)[] records)
    {
        using var writer = new RecordBatchWriter();
        foreach ((string key, string value) in records)
            writer.Append(new Record(0, Encoding.UTF8.GetBytes(key), Encoding.UTF8.GetBytes(value)));

        return (await edge.Log("readings").AppendAsync(writer.Build(), AckLevel.Durable)).BaseOffset;
    }

    private string[] Latest() =>
    [
        .. _hub.Latest.ReadAsync("readings", "north", CancellationToken.None).GetAwaiter().GetResult().Where(latest => latest.Value.HasKey).Select(latest =>
            $"{latest.Value.Key.ToStringUtf8()}={latest.Value.Value.ToStringUtf8()} {(latest.Ordered ? "ordered" : "live")}"),
    ];
}
