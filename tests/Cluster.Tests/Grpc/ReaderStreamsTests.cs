using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;
using EdgeStream.Testing;
using Grpc.Core;
using Grpc.Net.Client;

namespace EdgeStream.Cluster.Tests.Grpc;

/// <summary>How many may read at a node at once.</summary>
public sealed class ReaderStreamsTests : IAsyncLifetime
{
    private InProcessNode _node = null!;
    private GrpcChannel _channel = null!;

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _node = await InProcessNode.StartAsync(maxStreams: 2);
        _channel = _node.NewChannel();
        await _node.CreateTopicAsync("t");
        await _node.FillAsync("t", "a");
    }

    public async ValueTask DisposeAsync()
    {
        _channel.Dispose();
        await _node.DisposeAsync();
    }

    [Fact]
    public async Task Reader_and_member_beyond_the_most_are_refused_until_another_has_ended()
    {
        using AsyncDuplexStreamingCall<GroupRequest, GroupResponse> member = await JoinAsync();
        await ReadAsync(member.ResponseStream);
        AsyncServerStreamingCall<ConsumeResponse> reader = Consume();
        await ReadAsync(reader.ResponseStream);

        using (AsyncServerStreamingCall<ConsumeResponse> refused = Consume())
            AssertRefused(await Assert.ThrowsAsync<RpcException>(() => ReadAsync(refused.ResponseStream)));

        using (AsyncDuplexStreamingCall<GroupRequest, GroupResponse> refused = await JoinAsync())
            AssertRefused(await Assert.ThrowsAsync<RpcException>(() => ReadAsync(refused.ResponseStream)));

        reader.Dispose();
        await Condition.WaitAsync(
            () => "another reader has its place",
            async () =>
            {
                using AsyncServerStreamingCall<ConsumeResponse> next = Consume();
                return await Record.ExceptionAsync(() => ReadAsync(next.ResponseStream)) is null;
            });
    }

    private AsyncServerStreamingCall<ConsumeResponse> Consume() =>
        new DataPlane.DataPlaneClient(_channel).Consume(new ConsumeRequest { Topic = "t", Beginning = true }, cancellationToken: Cancelled);

    private async Task<AsyncDuplexStreamingCall<GroupRequest, GroupResponse>> JoinAsync()
    {
        AsyncDuplexStreamingCall<GroupRequest, GroupResponse> call = _node.Client.ConsumerGroups.Join(cancellationToken: Cancelled);
        await call.RequestStream.WriteAsync(new GroupRequest { Join = new JoinGroup { Group = "g", Topic = "t" } }, Cancelled);
        return call;
    }

    private static async Task ReadAsync<T>(IAsyncStreamReader<T> stream) => Assert.True(await stream.MoveNext(Cancelled).InTimeAsync());

    private static void AssertRefused(RpcException refused)
    {
        var error = ClientException.From(refused, "here");
        Assert.Equal((ErrorCode.TooManyStreams, StatusCode.ResourceExhausted), (error.Code, refused.StatusCode));
        Assert.Equal("2 streams are read here already, which is the most; end some of the readers, or read fewer partitions at once", error.Message);
    }
}
