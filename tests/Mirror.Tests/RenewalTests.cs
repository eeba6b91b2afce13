using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using Grpc.Core;
using Grpc.Net.Client;

namespace EdgeStream.Mirror.Tests;

/// <summary>Certificates that renew by themselves, over real TLS. The hub's clock is set by the test, the edge's is another one.</summary>
public sealed class RenewalTests : IAsyncLifetime
{
    private static readonly TimeSpan Life = TimeSpan.FromDays(90);

    private readonly FakeTime _time = new();
    private InProcessHub _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await InProcessHub.StartAsync(time: _time);

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Edge_that_lay_in_a_drawer_is_renewed_and_mirrors()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "readings");
        await edge.FillAsync("readings", 10);
        X509Certificate2 old = edge.Identity.Certificate;
        _time.Now += TimeSpan.FromDays(1000);

        RpcException refused = await UplinkRefusalAsync(old);
        Assert.Equal(StatusCode.Unauthenticated, refused.StatusCode);
        Assert.Equal("CERTIFICATE_EXPIRED", refused.Trailers.GetValue("edgestream-error"));

        edge.StartUplink();
        await edge.IsMirroredAsync(_hub, "readings");
        Assert.Equal(_time.Now + Life, edge.Identity.Certificate.NotAfter.ToUniversalTime());
        Assert.Equal(old.PublicKey.ExportSubjectPublicKeyInfo(), edge.Identity.Certificate.PublicKey.ExportSubjectPublicKeyInfo());
        using EdgeIdentity kept = EdgeIdentity.Load(edge.DataDirectory, edge.Identity.Id)!;
        Assert.Equal(edge.Identity.Certificate.Thumbprint, kept.Certificate.Thumbprint);
        Assert.True(kept.Certificate.HasPrivateKey);
    }

    [Fact]
    public async Task Certificate_is_renewed_beside_the_stream_which_goes_on_for_ever()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "readings");
        edge.StartUplink(lanes: [EagerLane()]);
        await edge.IsConnectedAsync();

        // Three times over: the connection's own certificate has expired long since.
        for (int i = 0; i < 3; i++)
        {
            _time.Now += Life * 0.7;
            await IsRenewedAsync(edge);
            await edge.FillAsync("readings", 20);
            await edge.IsMirroredAsync(_hub, "readings");
        }

        UplinkState state = edge.Uplink.State;
        Assert.Equal((true, null, 0L), (state.Connected, state.LastError, state.Reconnects));

        // What was renewed is what the next connection is made with.
        await edge.RestartAsync();
        await edge.IsConnectedAsync();
        Assert.Null(edge.Uplink.State.LastError);
    }

    [Theory]
    [InlineData(1970)]
    [InlineData(2090)]
    public async Task Clock_of_the_edge_does_not_matter(int year)
    {
        var clock = new FakeTime { Now = new DateTimeOffset(year, 1, 1, 0, 0, 10, TimeSpan.Zero) };
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "readings");
        await edge.FillAsync("readings", 10);
        _time.Now += Life * 2;
        edge.StartUplink(lanes: [EagerLane(clock)], time: clock);
        await edge.IsMirroredAsync(_hub, "readings");

        _time.Now += Life * 0.7;
        await IsRenewedAsync(edge);
        Assert.Equal(0, edge.Uplink.State.Reconnects);
    }

    [Fact]
    public async Task Dates_of_the_hubs_own_certificate_do_not_matter()
    {
        // By the clock of this machine, which is the edge's, it expired years ago.
        _time.Now = new DateTimeOffset(2021, 1, 1, 0, 0, 0, TimeSpan.Zero);
        await _hub.StopServingAsync();
        await _hub.StartServingAsync();
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north", "readings");
        await edge.FillAsync("readings", 10);
        await edge.IsMirroredAsync(_hub, "readings");
    }

    [Fact]
    public async Task Revoked_geo_location_is_cut_off_while_it_sends_and_gets_no_certificate()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "readings");
        edge.StartUplink(lanes: [EagerLane()]);
        using var stop = new CancellationTokenSource();
        Task producing = Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
                await edge.FillAsync("readings", 3);
        });
        await Eventually.HoldsAsync(() => _hub.LogOf("north", "readings")?.Offsets.Durable > 100, "records arrive");
        await _hub.Issuer.RevokeAsync("north");
        await edge.IsStuckAsync("revoked");

        // Behind all that was taken before: a batch that is there already changes nothing.
        PartitionLog copy = _hub.LogOf("north", "readings")!;
        using (LogReader reader = copy.OpenReader(copy.StartOffset))
        using (LogSlice first = reader.Read(1))
            await await copy.EnqueueVerbatimAsync(first.Batches, AckLevel.Durable);

        long end = copy.Offsets.End;
        string thumbprint = edge.Identity.Certificate.Thumbprint;
        _time.Now += Life * 2;
        await edge.RestartUplinkAsync(lanes: [EagerLane()]);
        await edge.IsStuckAsync("revoked");
        await stop.CancelAsync();
        await producing.InTimeAsync();
        Assert.True(edge.Log("readings").Offsets.Durable > end);
        Assert.Equal((end, thumbprint), (copy.Offsets.End, edge.Identity.Certificate.Thumbprint));
        Assert.Contains("revoked", (await RenewalRefusalAsync(edge.Identity.Certificate)).Status.Detail, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(200)]
    public async Task Card_that_was_replaced_is_not_renewed(int days)
    {
        await using InProcessEdge old = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "readings");
        await using InProcessEdge current = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "readings");
        _time.Now += TimeSpan.FromDays(days);
        RpcException refused = await RenewalRefusalAsync(old.Identity.Certificate);
        Assert.Equal("UNAUTHENTICATED", refused.Trailers.GetValue("edgestream-error"));
        Assert.Contains("joined again since", refused.Status.Detail, StringComparison.Ordinal);
        old.StartUplink();
        await old.IsStuckAsync("joined again since");

        current.StartUplink();
        await current.IsConnectedAsync();
    }

    [Theory]
    [InlineData("nothing written")]
    [InlineData("empty file")]
    [InlineData("half a file")]
    [InlineData("file not renamed")]
    [InlineData("file renamed")]
    public async Task Power_cut_at_any_step_leaves_an_identity_that_the_hub_accepts(string step)
    {
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "readings");
        await edge.FillAsync("readings", 10);
        _time.Now += Life * 0.7;
        using X509Certificate2 issued = await RenewedAsync(edge);
        string path = Directory.GetFiles(edge.DataDirectory, "edge.crt", SearchOption.AllDirectories).Single();
        string pem = issued.ExportCertificatePem();
        (string? name, string text) = step switch
        {
            "nothing written" => (null, ""),
            "empty file" => (path + ".tmp", ""),
            "half a file" => (path + ".tmp", pem[..(pem.Length / 2)]),
            "file not renamed" => (path + ".tmp", pem),
            _ => (path, pem),
        };
        if (name is not null)
            await File.WriteAllTextAsync(name, text);

        edge.StartUplink();
        await edge.RestartAsync();
        await edge.IsMirroredAsync(_hub, "readings");
        Assert.Null(edge.Uplink.State.LastError);

        // And what the cut has left does not stand in the way of the next one.
        _time.Now += Life * 2;
        await edge.RestartAsync();
        await edge.FillAsync("readings", 10);
        await edge.IsMirroredAsync(_hub, "readings");
        Assert.Equal(_time.Now + Life, edge.Identity.Certificate.NotAfter.ToUniversalTime());
    }

    [Fact]
    public async Task Each_is_renewed_under_its_own_name_only()
    {
        await using InProcessEdge north = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north");
        await using InProcessEdge south = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "south");
        DateTimeOffset? untilOfNorth = _hub.Parts.Controller.Current.GeoLocations["north"].CertificateUntil;
        _time.Now += Life * 2;
        using X509Certificate2 issued = await RenewedAsync(south);
        Assert.Equal(new CallerIdentity(CallerRole.GeoLocation, "south"), _hub.Rights.Authenticate(issued) with { KeyFingerprint = null });
        Assert.Equal(south.Identity.Certificate.PublicKey.ExportSubjectPublicKeyInfo(), issued.PublicKey.ExportSubjectPublicKeyInfo());
        Assert.Equal(untilOfNorth, _hub.Parts.Controller.Current.GeoLocations["north"].CertificateUntil);

        // Nor does an edge take what was issued for another.
        string before = north.Identity.Certificate.Thumbprint;
        var refused = Assert.Throws<EdgeStreamException>(() => north.Identity.Renew(issued));
        Assert.Contains("for another key", refused.Message, StringComparison.Ordinal);
        using EdgeIdentity kept = EdgeIdentity.Load(north.DataDirectory, north.Identity.Id)!;
        Assert.Equal((before, before), (north.Identity.Certificate.Thumbprint, kept.Certificate.Thumbprint));
    }

    [Fact]
    public async Task Programs_and_strangers_are_not_renewed()
    {
        Assert.Equal(StatusCode.Unauthenticated, (await RenewalRefusalAsync(null)).StatusCode);
        V1.IssuedCertificate issued = _hub.Issuer.IssueCertificate("someone", CallerRole.Admin);
        using var program = X509Certificate2.CreateFromPem(issued.CertificatePem, issued.KeyPem);
        Assert.Equal(StatusCode.PermissionDenied, (await RenewalRefusalAsync(program)).StatusCode);

        await using InProcessHub foreign = await InProcessHub.StartAsync(time: _time);
        await using InProcessEdge stranger = await InProcessEdge.JoinWithoutUplinkAsync(foreign, "north");
        await using InProcessEdge north = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north");
        _time.Now += Life * 2;
        RpcException refused = await RenewalRefusalAsync(stranger.Identity.Certificate);
        Assert.Contains("not issued by this", refused.Status.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Records_are_stored_whatever_the_certificate_is_worth()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "readings");
        await _hub.Issuer.RevokeAsync("north");
        _time.Now += Life * 2;
        edge.StartUplink(lanes: [EagerLane()]);
        await edge.IsStuckAsync("revoked");
        await edge.FillAsync("readings", 10);
        LogOffsets offsets = edge.Log("readings").Offsets;
        Assert.True(offsets.Durable > 0);
        Assert.Equal((0, offsets.End), (offsets.Mirrored, offsets.Durable));
    }

    /// <summary>Asks every 20 ms of the machine's time, whatever the hub says.</summary>
    private static RenewalLane EagerLane(TimeProvider? time = null) => new(TimeSpan.FromMilliseconds(20), time ?? TimeProvider.System);

    private Task IsRenewedAsync(InProcessEdge edge) => Eventually.HoldsAsync(
        () => edge.Identity.Certificate.NotAfter.ToUniversalTime() == _time.Now + Life, $"{edge.Name} has a new certificate");

    private async Task<V1.RenewResponse> RenewAsync(X509Certificate2? certificate)
    {
        using GrpcChannel channel = _hub.ChannelAs(certificate);
        return await new V1.Enrolment.EnrolmentClient(channel).RenewAsync(new V1.RenewRequest()).ResponseAsync.InTimeAsync();
    }

    private async Task<X509Certificate2> RenewedAsync(InProcessEdge edge) =>
        X509CertificateLoader.LoadCertificate((await RenewAsync(edge.Identity.Certificate)).CertificateDer.Span);

    private async Task<RpcException> RenewalRefusalAsync(X509Certificate2? certificate) =>
        await Assert.ThrowsAsync<RpcException>(() => RenewAsync(certificate));

    private async Task<RpcException> UplinkRefusalAsync(X509Certificate2 certificate)
    {
        using GrpcChannel channel = _hub.ChannelAs(certificate);
        using var call = new V1.Mirror.MirrorClient(channel).Uplink();
        return await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None).InTimeAsync());
    }
}
