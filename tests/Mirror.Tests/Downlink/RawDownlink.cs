using System.Security.Cryptography.X509Certificates;
using EdgeStream.Testing;
using Grpc.Core;
using Grpc.Net.Client;

namespace EdgeStream.Mirror.Tests.Downlink;

/// <summary>A downlink stream by hand: what a faulty or hostile edge might send.</summary>
internal sealed class RawDownlink : IDisposable
{
    private readonly GrpcChannel _channel;
    private readonly AsyncDuplexStreamingCall<V1.DownEdgeMessage, V1.DownHubMessage> _call;

    public RawDownlink(InProcessHub hub, X509Certificate2? certificate)
    {
        _channel = hub.ChannelAs(certificate);
        _call = new V1.Downlink.DownlinkClient(_channel).Follow();
    }

    public Task SendAsync(V1.DownEdgeMessage message) => _call.RequestStream.WriteAsync(message).InTimeAsync();

    /// <summary>Asks for the time, and gives what came before the answer.</summary>
    public async Task<List<V1.DownHubMessage>> ReceiveUntilTimeAsync(long askedAt)
    {
        await SendAsync(new V1.DownEdgeMessage { AskTime = new V1.AskTime { AskedAt = askedAt } });
        var before = new List<V1.DownHubMessage>();
        while (await ReceiveAsync() is var message && message.Time?.AskedAt != askedAt)
            before.Add(message);

        return before;
    }

    public Task FollowAsync(string topic, string incarnation, long offset) =>
        SendAsync(new V1.DownEdgeMessage { Follow = new V1.FollowTopic { Topic = topic, Incarnation = incarnation, Offset = offset } });

    public async Task<V1.DownHubMessage> ReceiveAsync()
    {
        Assert.True(await _call.ResponseStream.MoveNext(CancellationToken.None).InTimeAsync());
        return _call.ResponseStream.Current;
    }

    /// <summary>Waits for the hub to end the stream.</summary>
    public async Task<RpcException> EndsAsync() => await Assert.ThrowsAsync<RpcException>(async () =>
    {
        while (true)
            await ReceiveAsync();
    });

    public void Dispose()
    {
        _call.Dispose();
        _channel.Dispose();
    }
}
