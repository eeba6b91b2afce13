using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Storage;
using EdgeStream.Testing;
using Grpc.Core;
using Grpc.Net.Client;

namespace EdgeStream.Mirror.Tests.Enrolment;

public sealed class SpuIdentityTests : IAsyncLifetime
{
    private readonly TempDirectory _temp = new();
    private InProcessHub _hub = null!;

    private string Directory => _temp.Sub("spu");

    public async ValueTask InitializeAsync() => _hub = await InProcessHub.StartAsync();

    public async ValueTask DisposeAsync()
    {
        await _hub.DisposeAsync();
        _temp.Dispose();
    }

    [Fact]
    public void Identity_is_read_as_it_was_written_and_its_key_by_its_owner_only()
    {
        DateTimeOffset until = SpuIdentity.Create(Directory, _hub.Authority, 2, ["spu2.example", "10.0.0.2"]);
        Assert.InRange(until, DateTimeOffset.UtcNow.AddYears(9), DateTimeOffset.UtcNow.AddYears(11));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(Directory, "spu.key")));

        using SpuIdentity identity = SpuIdentity.Load(Directory, 2);
        Assert.Equal(2, identity.Id);
        Assert.True(identity.Certificate.HasPrivateKey);
        Assert.Equal(_hub.Authority.CertificatePem, identity.Authority.ExportCertificatePem());
        Assert.True(identity.Certificate.MatchesHostname("spu2.example"));
        Assert.True(identity.Certificate.MatchesHostname("10.0.0.2"));
        Assert.False(identity.Certificate.MatchesHostname("spu3.example"));
    }

    [Fact]
    public async Task Certificate_is_that_of_a_server_and_of_a_client_with_the_role_of_an_spu()
    {
        SpuIdentity.Create(Directory, _hub.Authority, 2, []);
        using SpuIdentity identity = SpuIdentity.Load(Directory);
        Assert.Null(PinnedChain.FindProblem(identity.Certificate, identity.Authority, CertificateRoles.ServerAuthentication, at: null));
        Assert.Equal(new CallerIdentity(CallerRole.Spu, "spu-2"), _hub.Rights.Authenticate(identity.Certificate));

        using GrpcChannel channel = _hub.ChannelAs(identity.Certificate);
        Assert.NotEmpty((await new V1.Enrolment.EnrolmentClient(channel).GetAuthorityAsync(new V1.GetAuthorityRequest())).CertificateDer);
        await AssertDeniedAsync(async () => await new V1.ControlPlane.ControlPlaneClient(channel).GetTopologyAsync(new V1.GetTopologyRequest()));
        await AssertDeniedAsync(async () => await new V1.Mirror.MirrorClient(channel).LocateAsync(new V1.LocateRequest()));
        await AssertDeniedAsync(() => new V1.Mirror.MirrorClient(channel).Uplink().ResponseStream.MoveNext(CancellationToken.None));
        await AssertDeniedAsync(async () => await new V1.Enrolment.EnrolmentClient(channel).RenewAsync(new V1.RenewRequest()));
    }

    [Fact]
    public async Task Certificate_of_a_geo_location_is_no_servers_and_no_spus()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "spu-2");
        X509Certificate2 certificate = edge.Identity.Certificate;
        Assert.NotNull(PinnedChain.FindProblem(certificate, edge.Identity.Authority, CertificateRoles.ServerAuthentication, at: null));
        Assert.Equal(CallerRole.GeoLocation, _hub.Rights.Authenticate(certificate).Role);

        SpuIdentity.Create(Directory, _hub.Authority, 2, []);
        await File.WriteAllTextAsync(Path.Combine(Directory, "spu.crt"), certificate.ExportCertificatePem(), TestContext.Current.CancellationToken);
        File.Copy(Path.Combine(edge.Identity.Directory, "edge.key"), Path.Combine(Directory, "spu.key"), overwrite: true);
        Assert.Contains("is not an SPU's certificate: it is that of 'spu-2'", ProblemOf(2), StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_there_is_not_written_over()
    {
        SpuIdentity.Create(Directory, _hub.Authority, 2, []);
        byte[] key = File.ReadAllBytes(Path.Combine(Directory, "spu.key"));
        var refused = Assert.Throws<EdgeStreamException>(() => SpuIdentity.Create(Directory, _hub.Authority, 3, []));
        Assert.Contains("has a spu.key already, which was not touched", refused.Message, StringComparison.Ordinal);
        Assert.Equal(key, File.ReadAllBytes(Path.Combine(Directory, "spu.key")));
        Assert.Equal(2, SpuIdentity.Load(Directory).Id);
    }

    [Theory]
    [InlineData("spu.crt")]
    [InlineData("spu.key")]
    [InlineData("ca.crt")]
    public void File_that_is_missing_or_damaged_is_named(string file)
    {
        SpuIdentity.Create(Directory, _hub.Authority, 2, []);
        File.WriteAllText(Path.Combine(Directory, file), "garbage");
        Assert.Contains(file, ProblemOf(2), StringComparison.Ordinal);
        File.Delete(Path.Combine(Directory, file));
        Assert.StartsWith($"there is no {file} in '{Directory}'; 'edgestream spu certificate ", ProblemOf(2), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Parts_of_several_identities_do_not_make_one()
    {
        SpuIdentity.Create(Directory, _hub.Authority, 2, []);
        Assert.Contains("is the certificate of SPU 2, and this is to be SPU 3", ProblemOf(3), StringComparison.Ordinal);

        string other = _temp.Sub("other");
        SpuIdentity.Create(other, _hub.Authority, 2, []);
        File.Copy(Path.Combine(Directory, "spu.key"), Path.Combine(_temp.Sub("kept")));
        File.Copy(Path.Combine(other, "spu.key"), Path.Combine(Directory, "spu.key"), overwrite: true);
        Assert.Contains("spu.crt and spu.key in ", ProblemOf(2), StringComparison.Ordinal);
        Assert.Contains("do not fit together", ProblemOf(2), StringComparison.Ordinal);

        await using InProcessHub foreign = await InProcessHub.StartAsync();
        File.Copy(_temp.Sub("kept"), Path.Combine(Directory, "spu.key"), overwrite: true);
        await File.WriteAllTextAsync(Path.Combine(Directory, "ca.crt"), foreign.Authority.CertificatePem, TestContext.Current.CancellationToken);
        Assert.Contains("does not fit the ca.crt beside it: it was not issued by this cluster's CA", ProblemOf(2), StringComparison.Ordinal);
    }

    private string ProblemOf(int id) => Assert.Throws<EdgeStreamException>(() => SpuIdentity.Load(Directory, id)).Message;

    private static async Task AssertDeniedAsync(Func<Task> call) =>
        Assert.Equal(StatusCode.PermissionDenied, (await Assert.ThrowsAsync<RpcException>(() => call().InTimeAsync())).StatusCode);
}
