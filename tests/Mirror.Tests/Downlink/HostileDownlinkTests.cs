using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using Grpc.Core;

namespace EdgeStream.Mirror.Tests.Downlink;

/// <summary>What a hub lets nobody do.</summary>
public sealed class HostileDownlinkTests : IAsyncLifetime
{
    private const string Topic = "commands";

    private InProcessHub _hub = null!;
    private InProcessEdge _north = null!;
    private InProcessEdge _south = null!;

    public async ValueTask InitializeAsync()
    {
        _hub = await InProcessHub.StartAsync();
        _north = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north");
        _south = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "south");
        await _hub.CreateDownTopicAsync(Topic);
        await _hub.SendDownAsync("north", Topic, Batches.Of("for north"));
        await _hub.SendDownAsync("south", Topic, Batches.Of("for south"));
    }

    public async ValueTask DisposeAsync()
    {
        await _north.DisposeAsync();
        await _south.DisposeAsync();
        await _hub.DisposeAsync();
    }

    [Fact]
    public async Task Downlink_of_another_geo_location_is_out_of_reach()
    {
        using var downlink = new RawDownlink(_hub, _north.Identity.Certificate);
        V1.DownTopic told = await ToldAsync(downlink);
        Assert.Equal(IncarnationOf("north"), told.Incarnation);
        await downlink.FollowAsync(Topic, IncarnationOf("south"), 0);
        await downlink.FollowAsync("other", told.Incarnation, 0);
        Assert.Empty(await downlink.ReceiveUntilTimeAsync(7));

        await downlink.FollowAsync(Topic, told.Incarnation, 0);
        V1.DownBatches came = (await downlink.ReceiveAsync()).Batches;
        Assert.Contains("for north", came.Batches.ToStringUtf8(), StringComparison.Ordinal);
        Assert.Empty(await downlink.ReceiveUntilTimeAsync(8));
    }

    [Fact]
    public async Task Card_that_was_replaced_is_sent_nothing_more_though_the_new_one_has_not_come_yet()
    {
        using var downlink = new RawDownlink(_hub, _north.Identity.Certificate);
        V1.DownTopic told = await ToldAsync(downlink);
        await downlink.FollowAsync(Topic, told.Incarnation, 0);
        Assert.NotNull((await downlink.ReceiveAsync()).Batches);

        await using InProcessEdge card = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north");
        RpcException ended = await downlink.EndsAsync();
        Assert.Equal(StatusCode.Unauthenticated, ended.StatusCode);
        Assert.Contains("has joined again since", ended.Status.Detail, StringComparison.Ordinal);
        Assert.Equal(0, _hub.LogOf("north", Topic)!.Offsets.Mirrored);
    }

    [Fact]
    public async Task What_another_geo_location_has_cannot_be_acknowledged_nor_more_than_there_is()
    {
        using var downlink = new RawDownlink(_hub, _north.Identity.Certificate);
        await ToldAsync(downlink);
        foreach (string geo in (string[])["north", "south"])
        {
            var durable = new V1.DownDurable { Topic = Topic, Incarnation = IncarnationOf(geo), Durable = 1000 };
            await downlink.SendAsync(new V1.DownEdgeMessage { Durable = durable });
        }

        Assert.Empty(await downlink.ReceiveUntilTimeAsync(7));
        Assert.Equal((1L, 0L), (_hub.LogOf("north", Topic)!.Offsets.Mirrored, _hub.LogOf("south", Topic)!.Offsets.Mirrored));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(2)]
    public async Task Offset_that_the_log_does_not_have_ends_the_stream(long offset)
    {
        using var downlink = new RawDownlink(_hub, _north.Identity.Certificate);
        V1.DownTopic told = await ToldAsync(downlink);
        await downlink.FollowAsync(Topic, told.Incarnation, offset);
        Assert.Equal("OFFSET_CONFLICT", (await downlink.EndsAsync()).Trailers.GetValue(RpcErrors.CodeTrailer));
    }

    [Fact]
    public async Task Stream_that_does_not_begin_with_the_time_is_refused()
    {
        using var downlink = new RawDownlink(_hub, _north.Identity.Certificate);
        await downlink.FollowAsync(Topic, IncarnationOf("north"), 0);
        Assert.Equal("INVALID_ARGUMENT", (await downlink.EndsAsync()).Trailers.GetValue(RpcErrors.CodeTrailer));
    }

    [Theory]
    [InlineData(CallerRole.Consumer)]
    [InlineData(CallerRole.Admin)]
    public async Task Nobody_but_a_geo_location_follows(CallerRole role)
    {
        V1.IssuedCertificate issued = _hub.Issuer.IssueCertificate("north", role);
        using X509Certificate2 certificate = X509Certificate2.CreateFromPem(issued.CertificatePem, issued.KeyPem);
        using var downlink = new RawDownlink(_hub, certificate);
        Assert.Equal("PERMISSION_DENIED", (await downlink.EndsAsync()).Trailers.GetValue(RpcErrors.CodeTrailer));
    }

    [Fact]
    public async Task Uplink_cannot_write_into_what_flows_down()
    {
        using RawUplink uplink = await RawUplink.ConnectAsync(_hub, _north.Identity.Certificate);
        Assert.Equal("TOPIC_EXISTS", (await uplink.OpenAsync(Topic, Guid.NewGuid())).Refused.ErrorCode);
        await uplink.SendChunkAsync(Topic, Batches.At(1, "forged"));
        await uplink.ReceiveAsync();
        Assert.Equal(["for north"], Batches.ReadValues(_hub.LogOf("north", Topic)!));
    }

    [Fact]
    public async Task Revoked_geo_location_is_cut_off_mid_stream_and_gets_nothing_more()
    {
        using var downlink = new RawDownlink(_hub, _north.Identity.Certificate);
        V1.DownTopic told = await ToldAsync(downlink);
        await downlink.FollowAsync(Topic, told.Incarnation, 0);
        Assert.NotNull((await downlink.ReceiveAsync()).Batches);

        await _hub.Issuer.RevokeAsync("north");
        RpcException ended = await downlink.EndsAsync();
        Assert.Equal(("UNAUTHENTICATED", "geo-location 'north' was revoked"), (ended.Trailers.GetValue(RpcErrors.CodeTrailer), ended.Status.Detail));
        using var again = new RawDownlink(_hub, _north.Identity.Certificate);
        Assert.Equal("UNAUTHENTICATED", (await again.EndsAsync()).Trailers.GetValue(RpcErrors.CodeTrailer));
    }

    [Fact]
    public async Task Second_stream_of_a_geo_location_ends_the_first_and_not_that_of_another()
    {
        using var first = new RawDownlink(_hub, _north.Identity.Certificate);
        using var other = new RawDownlink(_hub, _south.Identity.Certificate);
        await ToldAsync(first);
        await ToldAsync(other);
        using var second = new RawDownlink(_hub, _north.Identity.Certificate);
        await ToldAsync(second);
        Assert.Contains("connected anew", (await first.EndsAsync()).Status.Detail, StringComparison.Ordinal);
        Assert.Empty(await other.ReceiveUntilTimeAsync(7));
    }

    [Fact]
    public async Task Edge_that_does_not_read_holds_up_nobody()
    {
        using var deaf = new RawDownlink(_hub, _north.Identity.Certificate);
        V1.DownTopic told = await ToldAsync(deaf);
        await deaf.FollowAsync(Topic, told.Incarnation, 0);
        for (int i = 0; i < 40; i++)
            await _hub.SendDownAsync("north", Topic, Batches.Of(new string('x', 500_000)));

        using var downlink = new RawDownlink(_hub, _south.Identity.Certificate);
        await downlink.FollowAsync(Topic, (await ToldAsync(downlink)).Incarnation, 0);
        Assert.NotNull((await downlink.ReceiveAsync()).Batches);

        // Nor its stop: the server waits 5 s for peers that say nothing more, not the 30 s that are usual.
        await _hub.StopServingAsync().WaitAsync(TimeSpan.FromSeconds(25));
    }

    private string IncarnationOf(string geo) => _hub.LogOf(geo, Topic)!.Manifest.Incarnation.ToString("N");

    private static async Task<V1.DownTopic> ToldAsync(RawDownlink downlink)
    {
        Assert.Empty(await downlink.ReceiveUntilTimeAsync(1));
        return (await downlink.ReceiveAsync()).Topic;
    }
}
