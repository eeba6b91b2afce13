using EdgeStream.Client;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Protocol.V1;
using EdgeStream.Testing;
using Grpc.Core;
using Grpc.Net.Client;

namespace EdgeStream.Cluster.Tests.Grpc;

public sealed class ControlPlaneTests : IAsyncLifetime
{
    private InProcessNode _node = null!;

    public async ValueTask InitializeAsync() => _node = await InProcessNode.StartAsync();

    public ValueTask DisposeAsync() => _node.DisposeAsync();

    [Fact]
    public async Task Created_topic_is_listed_until_it_is_deleted()
    {
        Topic made = await _node.CreateTopicAsync("readings", "zstd", partitions: 2);
        Assert.Equal(("readings", "zstd", 2), (made.Name, made.Settings.Compression, made.Partitions.Count));
        Assert.Equal(made, Assert.Single((await TopologyAsync()).Topics));
        ListPartitionsResponse partitions = await _node.Client.CallAsync(client => client.ControlPlane.ListPartitionsAsync(new ListPartitionsRequest()));
        Assert.Equal([0, 1], partitions.Partitions.Select(status => status.Partition.Partition_));
        Assert.All(partitions.Partitions, status => Assert.Equal(("", 32), (status.Problem, status.Incarnation.Length)));

        await DeleteAsync("readings");
        Assert.Empty((await TopologyAsync()).Topics);
    }

    [Fact]
    public async Task Topology_that_the_caller_knows_is_left_out_until_it_is_another()
    {
        await _node.CreateTopicAsync("readings");
        Protocol.V1.Topology whole = await AskAsync("");
        Assert.Equal(whole, await AskAsync(""));
        Assert.Equal(new Protocol.V1.Topology { Revision = whole.Revision, Unchanged = true }, await AskAsync(whole.Revision));
        await _node.CreateTopicAsync("more");
        Protocol.V1.Topology next = await AskAsync(whole.Revision);
        Assert.Equal((2, false), (next.Topics.Count, next.Unchanged));
        Assert.NotEqual(whole.Revision, next.Revision);

        Task<Protocol.V1.Topology> AskAsync(string known) => _node.Client.CallAsync(client => client.ControlPlane.GetTopologyAsync(new GetTopologyRequest { KnownRevision = known }));
    }

    [Fact]
    public async Task Errors_come_with_a_status_a_message_and_a_code()
    {
        await _node.CreateTopicAsync("readings");
        await AssertFailsAsync(ErrorCode.TopicExists, StatusCode.AlreadyExists, () => _node.CreateTopicAsync("readings"));
        await AssertFailsAsync(ErrorCode.InvalidArgument, StatusCode.InvalidArgument, () => _node.CreateTopicAsync("/../"));
        await AssertFailsAsync(ErrorCode.InvalidArgument, StatusCode.InvalidArgument, () => _node.CreateTopicAsync("a\0b"));
        await AssertFailsAsync(ErrorCode.InvalidArgument, StatusCode.InvalidArgument, () => _node.CreateTopicAsync("other", "zip"));
        await AssertFailsAsync(ErrorCode.InvalidArgument, StatusCode.InvalidArgument, () => _node.CreateTopicAsync("other", partitions: -1));
        await AssertFailsAsync(ErrorCode.TopicNotFound, StatusCode.NotFound, () => DeleteAsync("other"));
        await AssertFailsAsync(ErrorCode.InvalidArgument, StatusCode.InvalidArgument, () => DeleteAsync(""));
        await AssertFailsAsync(ErrorCode.TopicNotFound, StatusCode.NotFound, () => _node.Client.CallAsync(client =>
            client.ControlPlane.ListPartitionsAsync(new ListPartitionsRequest { Topic = "other" })));
        await AssertFailsAsync(ErrorCode.WrongRole, StatusCode.FailedPrecondition, () => _node.Client.CallAsync(client =>
            client.ControlPlane.InviteGeoLocationAsync(new InviteGeoLocationRequest { Name = "north" })));
    }

    [Fact]
    public void Each_code_has_the_name_of_the_proto_file()
    {
        foreach (Google.Protobuf.Reflection.EnumValueDescriptor value in ErrorsReflection.Descriptor.EnumTypes[0].Values)
            Assert.Equal(value.Name, "ERROR_CODE_" + RpcErrors.NameOf((ErrorCode)value.Number));
    }

    [Fact]
    public async Task Node_that_is_not_there_is_unavailable()
    {
        using var client = new EdgeStreamClient(new ClientOptions { Endpoint = $"unix:{_node.Socket}.missing" });
        var error = await Assert.ThrowsAsync<ClientException>(() =>
            client.CallAsync(c => c.ControlPlane.GetTopologyAsync(new GetTopologyRequest())).InTimeAsync());
        Assert.Equal(ErrorCode.Unavailable, error.Code);
        Assert.Contains("is edgestream running there?", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("topology")]
    [InlineData("delete")]
    [InlineData("consume")]
    [InlineData("produce")]
    public async Task Plain_tcp_is_never_taken_for_local(string call)
    {
        await _node.CreateTopicAsync("readings");
        await _node.FillAsync("readings", "secret");
        using GrpcChannel channel = GrpcChannel.ForAddress($"http://127.0.0.1:{_node.Server.Port}");
        var control = new ControlPlane.ControlPlaneClient(channel);
        var data = new DataPlane.DataPlaneClient(channel);
        RpcException refused = await Assert.ThrowsAsync<RpcException>(async () =>
        {
            switch (call)
            {
                case "topology":
                    await control.GetTopologyAsync(new GetTopologyRequest());
                    break;
                case "delete":
                    await control.DeleteTopicAsync(new DeleteTopicRequest { Name = "readings" });
                    break;
                case "consume":
                    using (var consume = data.Consume(new ConsumeRequest { Topic = "readings", Beginning = true }))
                        await consume.ResponseStream.MoveNext(CancellationToken.None).InTimeAsync();
                    break;
                default:
                    using (var produce = data.Produce())
                        await produce.ResponseStream.MoveNext(CancellationToken.None).InTimeAsync();
                    break;
            }
        });
        Assert.Equal(StatusCode.Unauthenticated, refused.StatusCode);
        Assert.NotEmpty((await TopologyAsync()).Topics);
    }

    private Task<Protocol.V1.Topology> TopologyAsync() =>
        _node.Client.CallAsync(client => client.ControlPlane.GetTopologyAsync(new GetTopologyRequest()));

    private Task<DeleteTopicResponse> DeleteAsync(string name) =>
        _node.Client.CallAsync(client => client.ControlPlane.DeleteTopicAsync(new DeleteTopicRequest { Name = name }));

    private static async Task AssertFailsAsync(ErrorCode code, StatusCode status, Func<Task> call)
    {
        var error = await Assert.ThrowsAsync<ClientException>(call);
        Assert.Equal(code, error.Code);
        var rpc = Assert.IsType<RpcException>(error.InnerException);
        Assert.Equal(status, rpc.StatusCode);
        Assert.Equal(RpcErrors.NameOf(code), rpc.Trailers.GetValue("edgestream-error"));
        Assert.Equal(error.Message, rpc.Status.Detail);
    }
}
