using System.Security.Cryptography.X509Certificates;
using EdgeStream.Client;
using EdgeStream.Cluster.Grpc;
using Grpc.Core;

namespace EdgeStream.Mirror.Tests;

/// <summary>A name that nothing can have, in each call that takes one: told as that, and nothing is made of it.</summary>
public sealed class LongNameTests : IAsyncLifetime
{
    private static readonly string Name = new('x', 300);

    private InProcessHub _hub = null!;

    public static TheoryData<string> Calls => [.. EachCall.Keys];

    private static Dictionary<string, Func<EdgeStreamClient, Task>> EachCall { get; } = new()
    {
        ["CreateTopic"] = client => client.CallAsync(c => c.ControlPlane.CreateTopicAsync(new V1.CreateTopicRequest { Name = Name })),
        ["AlterTopic"] = client =>
            client.CallAsync(c => c.ControlPlane.AlterTopicAsync(new V1.AlterTopicRequest { Name = Name })),
        ["DeleteTopic"] = client => client.CallAsync(c => c.ControlPlane.DeleteTopicAsync(new V1.DeleteTopicRequest { Name = Name })),
        ["ListPartitions"] = client =>
            client.CallAsync(c => c.ControlPlane.ListPartitionsAsync(new V1.ListPartitionsRequest { Topic = Name })),
        ["ListGaps"] = client =>
            client.CallAsync(c => c.ControlPlane.ListGapsAsync(new V1.ListGapsRequest { Topic = Name })),
        ["Invite"] = client =>
            client.CallAsync(c => c.ControlPlane.InviteGeoLocationAsync(new V1.InviteGeoLocationRequest { Name = Name })),
        ["Revoke"] = client =>
            client.CallAsync(c => c.ControlPlane.RevokeGeoLocationAsync(new V1.RevokeGeoLocationRequest { Name = Name })),
        ["IssueCertificate"] = client =>
            client.CallAsync(c => c.ControlPlane.IssueCertificateAsync(new V1.IssueCertificateRequest { Name = Name, Role = "consumer" })),
    };

    public async ValueTask InitializeAsync() => _hub = await InProcessHub.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Theory]
    [MemberData(nameof(Calls))]
    public async Task Call_is_refused_with_the_most_that_a_name_may_have(string call)
    {
        using X509Certificate2 admin = Admin();
        using EdgeStreamClient client = _hub.ClientAs(admin);
        var error = await Assert.ThrowsAsync<ClientException>(() => EachCall[call](client));
        Assert.Equal(ErrorCode.InvalidArgument, error.Code);
        Assert.Matches("^a (topic|geo-location|client) name may have [0-9]+ characters, this one has 300$", error.Message);
        Assert.Empty(_hub.Parts.Controller.Current.GeoLocations);
        Assert.Empty(_hub.Parts.Controller.Current.Topics);
    }

    [Fact]
    public async Task Streams_are_refused_the_same_way()
    {
        using X509Certificate2 admin = Admin();
        using var channel = _hub.ChannelAs(admin);
        var data = new V1.DataPlane.DataPlaneClient(channel);
        using var consume = data.Consume(new V1.ConsumeRequest { Topic = Name });
        AssertRefused(await Assert.ThrowsAsync<RpcException>(() => consume.ResponseStream.MoveNext(CancellationToken.None)));

        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north");
        using RawUplink uplink = await RawUplink.ConnectAsync(_hub, edge.Identity.Certificate);
        V1.TopicRefused refused = (await uplink.OpenAsync(Name, Guid.NewGuid())).Refused;
        Assert.Equal("INVALID_ARGUMENT", refused.ErrorCode);
        Assert.Contains("may have 249 characters", refused.Message, StringComparison.Ordinal);
    }

    private static void AssertRefused(RpcException refused)
    {
        Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
        Assert.Contains("may have 249 characters", refused.Status.Detail, StringComparison.Ordinal);
    }

    private X509Certificate2 Admin()
    {
        V1.IssuedCertificate issued = _hub.Issuer.IssueCertificate("someone", CallerRole.Admin);
        return X509Certificate2.CreateFromPem(issued.CertificatePem, issued.KeyPem);
    }
}
