using System.Net;
using System.Net.Http.Headers;
using EdgeStream.Client;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Protocol.V1;
using EdgeStream.Testing;
using Grpc.Core;
using Grpc.Net.Client;

namespace EdgeStream.Cluster.Tests.Grpc;

/// <summary>What strangers and others may have of a node's memory before it has looked at what they want.</summary>
public sealed class GuardTests : IAsyncLifetime
{
    private InProcessNode _node = null!;

    public async ValueTask InitializeAsync() => _node = await InProcessNode.StartAsync();

    public ValueTask DisposeAsync() => _node.DisposeAsync();

    [Theory]
    [InlineData("/edgestream.v1.ControlPlane/CreateTopic", "application/grpc")]
    [InlineData("/edgestream.v1.DataPlane/Consume", "application/grpc+proto")]
    [InlineData("/edgestream.v1.DataPlane/Produce", "Application/gRPC")]
    [InlineData("/EDGESTREAM.V1.CONTROLPLANE/CREATETOPIC", "application/grpc")]
    public async Task Stranger_is_refused_before_the_request_is_read(string method, string type)
    {
        using var client = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri($"http://127.0.0.1:{_node.Server.Port}{method}"))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new StalledContent(type),
        };
        using HttpResponseMessage answer = await client.SendAsync(request, TestContext.Current.CancellationToken).InTimeAsync();

        Assert.Equal("16", Assert.Single(answer.TrailingHeaders.GetValues("grpc-status")));
        Assert.Equal("UNAUTHENTICATED", Assert.Single(answer.TrailingHeaders.GetValues("edgestream-error")));
        Assert.Equal(
            $"{method[(method.LastIndexOf('/') + 1)..]} needs a client certificate that this cluster issued",
            Uri.UnescapeDataString(Assert.Single(answer.TrailingHeaders.GetValues("grpc-message"))));
    }

    [Fact]
    public async Task Refusal_is_the_same_to_a_client_as_one_of_a_service()
    {
        using GrpcChannel stranger = GrpcChannel.ForAddress($"http://127.0.0.1:{_node.Server.Port}");
        var control = new ControlPlane.ControlPlaneClient(stranger);
        RpcException refused = await Assert.ThrowsAsync<RpcException>(() => control.GetTopologyAsync(new GetTopologyRequest()).ResponseAsync.InTimeAsync());
        Assert.Equal(
            new Status(StatusCode.Unauthenticated, "GetTopology needs a client certificate that this cluster issued"),
            new Status(refused.StatusCode, refused.Status.Detail));
        Assert.Equal("UNAUTHENTICATED", refused.Trailers.GetValue(RpcErrors.CodeTrailer));
    }

    [Fact]
    public async Task Request_that_is_no_stream_is_small_whoever_sends_it()
    {
        ClientException refused = await Assert.ThrowsAsync<ClientException>(() => _node.Client.CallAsync(client =>
            client.ControlPlane.DeleteTopicAsync(new DeleteTopicRequest { Name = new string('x', 256 * 1024) })).InTimeAsync());
        Assert.Contains("exceeds the maximum", refused.Message, StringComparison.Ordinal);
    }

    /// <summary>Announces a message of 16 MiB, and stops after a part of it.</summary>
    private sealed class StalledContent : HttpContent
    {
        public StalledContent(string type) => Headers.ContentType = new MediaTypeHeaderValue(type);

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
            SerializeToStreamAsync(stream, context, CancellationToken.None);

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
        {
            await stream.WriteAsync((byte[])[0, 1, 0, 0, 0, .. new byte[1000]], cancellationToken);
            await stream.FlushAsync(cancellationToken);
            await Task.Delay(Timeout.Infinite, cancellationToken);
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}
