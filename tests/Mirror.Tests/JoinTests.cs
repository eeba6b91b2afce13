using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Client;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Testing;
using Grpc.Core;
using Grpc.Net.Client;

namespace EdgeStream.Mirror.Tests;

/// <summary>Who gets in, over real TLS.</summary>
public sealed class JoinTests : IAsyncLifetime
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
    public async Task Edge_joins_with_a_token_and_keeps_its_identity()
    {
        using EdgeIdentity identity = await JoinAsync(await _hub.InviteAsync("north"));
        Assert.Equal(("north", _hub.Address), (identity.GeoLocation, identity.Hub));
        Assert.Equal([identity.Id], EdgeIdentity.List(_temp.Path));
        using EdgeIdentity loaded = EdgeIdentity.Load(_temp.Path, identity.Id)!;
        Assert.Equal(identity.Certificate.Thumbprint, loaded.Certificate.Thumbprint);
        Assert.True(loaded.Certificate.HasPrivateKey);
        Assert.Equal(new CallerIdentity(CallerRole.GeoLocation, "north"), _hub.Rights.Authenticate(loaded.Certificate) with { KeyFingerprint = null });

        EdgeIdentity.Forget(_temp.Path, identity.Id);
        Assert.Null(EdgeIdentity.Load(_temp.Path, identity.Id));
        Assert.Empty(EdgeIdentity.List(_temp.Path));
    }

    [Fact]
    public async Task Token_of_another_hub_is_refused_and_its_secret_stays_secret()
    {
        await using InProcessHub other = await InProcessHub.StartAsync();
        string token = await other.InviteAsync("north");
        var error = await Assert.ThrowsAsync<ClusterException>(() => JoinAsync(token));
        Assert.Contains("for another hub", error.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(_temp.Path));

        // The hub that was asked has heard of no one, and the token is as good as before.
        Assert.Empty(_hub.Parts.Controller.Current.GeoLocations);
        using EdgeIdentity joined = await HubEnroller.JoinAsync(_temp.Path, other.Address, token, JoiningCard.New, CancellationToken.None);
        Assert.Equal("north", joined.GeoLocation);
    }

    [Fact]
    public async Task Server_that_tells_the_hubs_authority_but_has_no_certificate_of_it_gets_no_secret()
    {
        // The CA certificate is public: anybody can repeat it.
        await using InProcessHub impostor = await InProcessHub.StartAsync(tlsAuthority: _hub.Authority);
        string token = await impostor.InviteAsync("north");
        await Assert.ThrowsAsync<ClusterException>(() => HubEnroller.JoinAsync(_temp.Path, impostor.Address, token, JoiningCard.New, CancellationToken.None));
        Assert.Empty(EdgeIdentity.List(_temp.Path));
        Assert.Null(impostor.Parts.Store.FindInvite(InviteToken.HashOf(InviteToken.Parse(token).Secret))!.UsedAt);
        Assert.Null(impostor.Parts.Controller.Current.GeoLocations["north"].JoinedAt);
    }

    [Fact]
    public async Task Uplink_to_a_server_of_another_authority_is_refused_by_the_edge()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north");
        await edge.IsConnectedAsync();
        await using InProcessHub other = await InProcessHub.StartAsync();
        await edge.RestartAsync(other.Address);
        await edge.IsStuckAsync("certificate");
        Assert.False(edge.Uplink.State.Connected);
    }

    [Fact]
    public async Task Refusals_of_the_hub_reach_the_edge_with_their_codes()
    {
        string token = await _hub.InviteAsync("north");
        (await JoinAsync(token)).Dispose();
        Assert.Equal(ErrorCode.TokenUsed, (await Assert.ThrowsAsync<ClusterException>(() => JoinAsync(token))).Code);

        InviteToken unknown = InviteToken.Parse(token) with { Secret = new byte[InviteToken.SecretSize] };
        Assert.Equal(ErrorCode.TokenUnknown, (await Assert.ThrowsAsync<ClusterException>(() => JoinAsync(unknown.Format()))).Code);
    }

    [Fact]
    public async Task Hub_that_is_not_there_is_told_as_unreachable()
    {
        string token = await _hub.InviteAsync("north");
        await _hub.StopServingAsync();
        var error = await Assert.ThrowsAsync<ClusterException>(() => JoinAsync(token).InTimeAsync());
        Assert.Equal(ErrorCode.Unavailable, error.Code);
        Assert.Contains("cannot be reached", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Garbage_in_place_of_a_signing_request_is_refused()
    {
        using GrpcChannel channel = _hub.ChannelAs(null);
        var request = new V1.JoinRequest { SigningRequestDer = Google.Protobuf.ByteString.CopyFromUtf8("garbage") };
        var error = await Assert.ThrowsAsync<RpcException>(async () => await new V1.Enrolment.EnrolmentClient(channel).JoinAsync(request));
        Assert.Equal("INVALID_ARGUMENT", error.Trailers.GetValue("edgestream-error"));
    }

    [Fact]
    public async Task Certificate_of_a_foreign_authority_is_refused_with_the_reason()
    {
        await using InProcessHub foreign = await InProcessHub.StartAsync();
        using X509Certificate2 certificate = Issue(foreign, CallerRole.Admin);
        using EdgeStreamClient client = _hub.ClientAs(certificate);
        var error = await Assert.ThrowsAsync<ClientException>(() => client.CallAsync(c => c.ControlPlane.GetTopologyAsync(new V1.GetTopologyRequest())));
        Assert.Equal(ErrorCode.Unauthenticated, error.Code);
        Assert.Contains("not issued by this cluster's CA", error.Message, StringComparison.Ordinal);
        Assert.Equal(StatusCode.Unauthenticated, Assert.IsType<RpcException>(error.InnerException).StatusCode);
    }

    [Fact]
    public async Task Caller_without_a_certificate_may_enrol_and_nothing_else()
    {
        using EdgeStreamClient client = _hub.ClientAs(null);
        var error = await Assert.ThrowsAsync<ClientException>(() => client.CallAsync(c => c.ControlPlane.GetTopologyAsync(new V1.GetTopologyRequest())));
        Assert.Equal(ErrorCode.Unauthenticated, error.Code);
        using GrpcChannel channel = _hub.ChannelAs(null);
        V1.Authority authority = await new V1.Enrolment.EnrolmentClient(channel).GetAuthorityAsync(new V1.GetAuthorityRequest());
        Assert.NotEmpty(authority.CertificateDer);
    }

    [Fact]
    public async Task Geo_location_may_mirror_and_nothing_else()
    {
        using EdgeIdentity identity = await JoinAsync(await _hub.InviteAsync("north"));
        await _hub.Parts.Controller.CreateTopicAsync("t", 1, new TopicSettings());
        using GrpcChannel channel = _hub.ChannelAs(identity.Certificate);
        var control = new V1.ControlPlane.ControlPlaneClient(channel);
        var data = new V1.DataPlane.DataPlaneClient(channel);
        await AssertDeniedAsync(async () => await control.GetTopologyAsync(new V1.GetTopologyRequest()));
        await AssertDeniedAsync(async () => await control.CreateTopicAsync(new V1.CreateTopicRequest { Name = "other" }));
        await AssertDeniedAsync(async () => await control.InviteGeoLocationAsync(new V1.InviteGeoLocationRequest { Name = "other" }));
        await AssertDeniedAsync(async () =>
        {
            using var consume = data.Consume(new V1.ConsumeRequest { Topic = "t" });
            await consume.ResponseStream.MoveNext(CancellationToken.None);
        });
        await AssertDeniedAsync(async () =>
        {
            using var produce = data.Produce();
            await produce.ResponseStream.MoveNext(CancellationToken.None);
        });
    }

    [Theory]
    [InlineData(CallerRole.Admin, null)]
    [InlineData(CallerRole.Producer, ErrorCode.PermissionDenied)]
    [InlineData(CallerRole.Consumer, ErrorCode.PermissionDenied)]
    public async Task Client_certificate_has_the_rights_of_its_role(CallerRole role, ErrorCode? refusal)
    {
        using X509Certificate2 certificate = Issue(_hub, role);
        using EdgeStreamClient client = _hub.ClientAs(certificate);
        Task<V1.Topic> creating = client.CallAsync(c => c.ControlPlane.CreateTopicAsync(new V1.CreateTopicRequest { Name = "t" }));
        if (refusal is { } code)
            Assert.Equal(code, (await Assert.ThrowsAsync<ClientException>(() => creating)).Code);
        else
            Assert.Equal("t", (await creating).Name);

        await client.CallAsync(c => c.ControlPlane.GetTopologyAsync(new V1.GetTopologyRequest()));
        using RawUplinkRefusal uplink = new(_hub, certificate);
        Assert.Equal(StatusCode.PermissionDenied, (await uplink.AnswerAsync()).StatusCode);
    }

    [Fact]
    public async Task Server_that_speaks_TLS_but_not_HTTP2_is_told_to_be_no_hub()
    {
        string problem = await ProblemWithAsync(async client =>
        {
            using X509Certificate2 certificate = _hub.Authority.IssueServer(["localhost"], TimeSpan.FromDays(1));
            await using var tls = new SslStream(client);
            await tls.AuthenticateAsServerAsync(certificate);
            await tls.CopyToAsync(Stream.Null);
        });
        Assert.Contains("speaks TLS but not HTTP/2", problem, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Listener_that_says_nothing_is_told_to_say_nothing()
    {
        string problem = await ProblemWithAsync(_ => Task.CompletedTask);
        Assert.Contains("has answered within 10 s", problem, StringComparison.Ordinal);
        Assert.DoesNotContain("canceled", problem, StringComparison.Ordinal);
    }

    /// <summary>What joining says of a server that does something else than a hub.</summary>
    private async Task<string> ProblemWithAsync(Func<Stream, Task> serve)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        string token = await _hub.InviteAsync("north");
        Task<EdgeIdentity> joining = HubEnroller.JoinAsync(_temp.Path, $"{listener.LocalEndpoint}", token, JoiningCard.New, CancellationToken.None);
        using TcpClient client = await listener.AcceptTcpClientAsync().InTimeAsync();
        Task serving = serve(client.GetStream());
        string problem = (await Assert.ThrowsAsync<ClusterException>(() => joining.InTimeAsync())).Message;
        client.Close();
        await serving.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return problem;
    }

    private Task<EdgeIdentity> JoinAsync(string token) => HubEnroller.JoinAsync(_temp.Path, _hub.Address, token, JoiningCard.New, CancellationToken.None);

    private static X509Certificate2 Issue(InProcessHub hub, CallerRole role)
    {
        V1.IssuedCertificate issued = hub.Issuer.IssueCertificate("someone", role);
        return X509Certificate2.CreateFromPem(issued.CertificatePem, issued.KeyPem);
    }

    private static async Task AssertDeniedAsync(Func<Task> call) =>
        Assert.Equal(StatusCode.PermissionDenied, (await Assert.ThrowsAsync<RpcException>(call)).StatusCode);

    /// <summary>Tries an uplink that must be refused.</summary>
    private sealed class RawUplinkRefusal(InProcessHub hub, X509Certificate2 certificate) : IDisposable
    {
        private readonly GrpcChannel _channel = hub.ChannelAs(certificate);

        public async Task<RpcException> AnswerAsync()
        {
            using var call = new V1.Mirror.MirrorClient(_channel).Uplink();
            return await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None).InTimeAsync());
        }

        public void Dispose() => _channel.Dispose();
    }
}
