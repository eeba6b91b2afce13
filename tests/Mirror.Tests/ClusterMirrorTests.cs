using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using Grpc.Core;
using Grpc.Net.Client;

namespace EdgeStream.Mirror.Tests;

/// <summary>An edge and a cluster of an SC and two SPUs, over real TLS: it finds the SPU that serves it, and follows when that is another.</summary>
public sealed class ClusterMirrorTests : IAsyncLifetime
{
    private const string Topic = "readings";

    private readonly FakeTime _time = new();
    private InProcessCluster _cluster = null!;

    public async ValueTask InitializeAsync() => _cluster = await InProcessCluster.StartAsync(_time);

    public ValueTask DisposeAsync() => _cluster.DisposeAsync();

    [Fact]
    public async Task Edge_that_knows_the_sc_alone_is_sent_to_its_spu_and_keeps_the_addresses_of_all()
    {
        await using InProcessEdge edge = await JoinAsync("north");
        await edge.FillAsync(Topic, 20);
        edge.StartUplink();
        await IsMirroredAsync(edge);
        Assert.True(_cluster.IsConnectedTo(_cluster.HomeOf("north"), "north"));
        Assert.Equal(
            [_cluster.ScAddress, _cluster.AddressOf(1), _cluster.AddressOf(2)],
            await File.ReadAllLinesAsync(Path.Combine(edge.Identity.Directory, "hub-endpoints"), TestContext.Current.CancellationToken));
        Assert.Equal(_cluster.ScAddress, edge.Identity.Hub);
    }

    [Fact]
    public async Task Geo_locations_without_partitions_are_spread_over_the_spus()
    {
        int[] homes = [.. Enumerable.Range(0, 40).Select(n => _cluster.HomeOf($"site-{n}"))];
        Assert.InRange(homes.Count(home => home == 1), 8, 32);
        Assert.Equal(homes, Enumerable.Range(0, 40).Select(n => _cluster.HomeOf($"site-{n}")));
        await _cluster.MoveAsync("site-0", 3 - homes[0]);
        Assert.Equal(homes[0], _cluster.HomeOf("site-0"));
    }

    [Fact]
    public async Task Edge_follows_its_partitions_from_spu_to_spu_and_nothing_is_lost_or_doubled()
    {
        await using InProcessEdge edge = await JoinAsync("north");
        edge.StartUplink();
        using var enough = new CancellationTokenSource();
        Task filling = Task.Run(async () =>
        {
            while (!enough.IsCancellationRequested)
                await edge.FillAsync(Topic, 10, 400);
        });
        for (int i = 0; i < 6; i++)
        {
            await Eventually.HoldsAsync(() => _cluster.Controller.Current.Topics.ContainsKey(Topic), "the topic is there");
            int to = 3 - _cluster.HomeOf("north");
            long before = edge.Uplink.State.SentBytes;
            await _cluster.MoveAsync("north", to);
            await Eventually.HoldsAsync(() => _cluster.IsConnectedTo(to, "north") && !_cluster.IsConnectedTo(3 - to, "north"), $"north is at SPU {to}");
            await Eventually.HoldsAsync(() => edge.Uplink.State.SentBytes > before, "it mirrors on");
        }

        await enough.CancelAsync();
        await filling;
        await IsMirroredAsync(edge);
        Assert.True(edge.Uplink.State.Reconnects >= 6);
        Assert.Empty(edge.Uplink.Problems);
    }

    [Fact]
    public async Task Edge_mirrors_on_when_its_spu_is_gone_and_its_partitions_were_given_to_another()
    {
        await using InProcessEdge edge = await JoinAsync("north");
        edge.StartUplink(new UplinkOptions { MinBackoff = TimeSpan.FromMilliseconds(50) });
        await edge.FillAsync(Topic, 20);
        await IsMirroredAsync(edge);
        int gone = _cluster.HomeOf("north"), heir = 3 - gone;
        await _cluster.StopSpuAsync(gone);
        await edge.FillAsync(Topic, 20);

        // It is sent to the one that is gone until the SC knows, and asks again soon each time: waits that double would be a minute by then.
        await edge.FailsWithAsync($"{_cluster.AddressOf(gone)}, which serves this edge: ");
        int asked = _cluster.AskedAtSc;
        await Eventually.HoldsAsync(() => _cluster.AskedAtSc >= asked + 15, "it asks again and again");
        await _cluster.MoveAsync("north", heir);
        await IsMirroredAsync(edge);
        Assert.True(_cluster.IsConnectedTo(heir, "north"));
    }

    [Fact]
    public async Task Edge_finds_its_spu_by_another_spu_when_the_address_that_it_joined_is_dead()
    {
        await using InProcessEdge edge = await JoinAsync("north");
        edge.StartUplink();
        await edge.FillAsync(Topic, 20);
        await IsMirroredAsync(edge);
        await edge.StopUplinkAsync();
        await _cluster.StopScAsync();
        foreach (int home in (int[])[1, 2])
        {
            await _cluster.MoveAsync("north", home);
            await edge.FillAsync(Topic, 20);
            await edge.RestartAsync();
            await IsMirroredAsync(edge);
            Assert.True(_cluster.IsConnectedTo(home, "north"));
        }
    }

    [Fact]
    public async Task Edge_joins_at_the_first_address_that_takes_its_token()
    {
        await using InProcessEdge edge = await InProcessEdge.OpenAsync("north");
        string dead = "127.0.0.1:1", addresses = $"{dead}, {_cluster.AddressOf(1)},https://{_cluster.ScAddress}", token = await _cluster.InviteAsync("north");
        var refused = await Assert.ThrowsAsync<ClusterException>(() => edge.JoinAsync($"{dead},{_cluster.AddressOf(1)}", token));
        Assert.Contains($"the hub {dead} cannot be reached", refused.Message, StringComparison.Ordinal);
        Assert.Contains($"{_cluster.AddressOf(1)} takes no tokens, as an SPU does not", refused.Message, StringComparison.Ordinal);

        await edge.JoinAsync(addresses, token);
        Assert.Equal($"{dead},{_cluster.AddressOf(1)},{_cluster.ScAddress}", edge.Identity.Hub);
        Assert.True(edge.Identity.IsAt(_cluster.ScAddress));
        await edge.CreateTopicAsync(Topic);
        await edge.FillAsync(Topic, 5);
        edge.StartUplink();
        await IsMirroredAsync(edge);
    }

    [Fact]
    public async Task Edge_with_a_hub_that_cannot_be_asked_stays_there()
    {
        await using InProcessHub hub = await InProcessHub.StartAsync(isOld: true);
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(hub, "north", Topic);
        await edge.FillAsync(Topic, 20);
        await edge.IsMirroredAsync(hub, Topic);
        Assert.Null(edge.Uplink.State.LastError);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Uplink_at_another_than_its_spu_is_refused_before_its_card_is_looked_at(bool atSc)
    {
        await using InProcessEdge edge = await JoinAsync("north");
        await edge.FillAsync(Topic, 1);
        edge.StartUplink();
        await IsMirroredAsync(edge);
        await Eventually.HoldsAsync(() => TokensOf("north").Result is { Pending.Count: 0 }, "the edge keeps its token");
        int home = _cluster.HomeOf("north");
        StartTokens before = await TokensOf("north");
        string wrong = atSc ? _cluster.ScAddress : _cluster.AddressOf(3 - home);

        using GrpcChannel channel = _cluster.ChannelTo(wrong, edge.Identity.Certificate);
        using var call = new V1.Mirror.MirrorClient(channel).Uplink(cancellationToken: TestContext.Current.CancellationToken);
        var hello = new V1.EdgeMessage { Hello = new V1.Hello { SoftwareVersion = "raw", StartToken = "0-of-an-old-image", NewStart = true } };
        await call.RequestStream.WriteAsync(hello, TestContext.Current.CancellationToken);
        var refused = await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None).InTimeAsync());
        Assert.Equal("NOT_LEADER", refused.Trailers.GetValue("edgestream-error"));
        Assert.Contains($"'north' is served by SPU {home} at https://{_cluster.AddressOf(home)}", refused.Status.Detail, StringComparison.Ordinal);
        StartTokens after = await TokensOf("north");
        Assert.Equal((before.Current, before.Given, before.Pending.Count), (after.Current, after.Given, after.Pending.Count));
        Assert.True(edge.Uplink.State.Connected);
        if (atSc)
            return;

        var mirror = new V1.Mirror.MirrorClient(channel);
        await AssertNotLeaderAsync(async () => await mirror.ListMirroredAsync(new V1.ListMirroredRequest()));
        using var batches = mirror.ListBatches(new V1.ListBatchesRequest { Topic = Topic }, cancellationToken: TestContext.Current.CancellationToken);
        await AssertNotLeaderAsync(() => batches.ResponseStream.MoveNext(CancellationToken.None));
        using var follow = new V1.Downlink.DownlinkClient(channel).Follow(cancellationToken: TestContext.Current.CancellationToken);
        await AssertNotLeaderAsync(() => follow.ResponseStream.MoveNext(CancellationToken.None));
        using var report = new V1.Live.LiveClient(channel).Report(cancellationToken: TestContext.Current.CancellationToken);
        await AssertNotLeaderAsync(() => report.ResponseStream.MoveNext(CancellationToken.None));
    }

    [Fact]
    public async Task Certificate_is_renewed_at_the_sc_beside_an_uplink_at_an_spu()
    {
        await using InProcessEdge edge = await JoinAsync("north");
        X509Certificate2 old = edge.Identity.Certificate;
        _time.Now += TimeSpan.FromDays(70);
        edge.StartUplink(lanes: [new RenewalLane(RenewalLane.DefaultLongest, TimeProvider.System)]);
        await Eventually.HoldsAsync(() => edge.Identity.Certificate.NotAfter > old.NotAfter, "the certificate is renewed");
        Assert.True(edge.Uplink.State.Connected);
    }

    [Fact]
    public async Task Expired_certificate_is_renewed_at_the_sc_though_an_spu_is_asked_first()
    {
        await using InProcessEdge edge = await InProcessEdge.OpenAsync("north");
        await edge.JoinAsync($"{_cluster.ScAddress}", await _cluster.InviteAsync("north"));
        await edge.CreateTopicAsync(Topic);
        await File.WriteAllTextAsync(
            Path.Combine(edge.Identity.Directory, "hub"), $"{_cluster.AddressOf(1)},{_cluster.ScAddress}\n", TestContext.Current.CancellationToken);
        _time.Now += TimeSpan.FromDays(1000);
        await edge.FillAsync(Topic, 3);
        await edge.RestartAsync();
        await IsMirroredAsync(edge);
        Assert.True(edge.Identity.Certificate.NotAfter > _time.Now.UtcDateTime);
    }

    [Fact]
    public async Task Another_card_cannot_join_where_only_the_logs_know_which_one_filled_them()
    {
        await using InProcessEdge edge = await JoinAsync("north");
        edge.StartUplink();
        await edge.FillAsync(Topic, 3);
        await IsMirroredAsync(edge);
        await using InProcessEdge other = await InProcessEdge.OpenAsync("north");
        string token = await _cluster.InviteAsync("north");
        var refused = await Assert.ThrowsAsync<ClusterException>(() => other.JoinAsync(_cluster.ScAddress, token));
        Assert.Equal(ErrorCode.IncarnationMismatch, refused.Code);
        await edge.StopUplinkAsync();
        await edge.JoinAsync(_cluster.ScAddress, token);
    }

    private async Task<StartTokens> TokensOf(string geoLocation) => (await _cluster.Store.FindStartTokensAsync(geoLocation))!;

    private async Task<InProcessEdge> JoinAsync(string name)
    {
        InProcessEdge edge = await InProcessEdge.OpenAsync(name);
        await edge.JoinAsync(_cluster.ScAddress, await _cluster.InviteAsync(name));
        await edge.CreateTopicAsync(Topic);
        return edge;
    }

    private Task IsMirroredAsync(InProcessEdge edge) => edge.IsMirroredAsync(Topic, () => _cluster.LogOf(edge.Name, Topic));

    private static async Task AssertNotLeaderAsync(Func<Task> call) =>
        Assert.Equal("NOT_LEADER", (await Assert.ThrowsAsync<RpcException>(() => call().InTimeAsync())).Trailers.GetValue("edgestream-error"));
}
