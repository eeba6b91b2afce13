using System.Security.Cryptography.X509Certificates;
using EdgeStream.Testing;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;

namespace EdgeStream.Mirror.Tests;

/// <summary>An uplink stream by hand: what a faulty, old or hostile edge might send.</summary>
internal sealed class RawUplink : IDisposable
{
    private readonly GrpcChannel _channel;
    private readonly AsyncDuplexStreamingCall<V1.EdgeMessage, V1.HubMessage> _call;

    private RawUplink(InProcessHub hub, X509Certificate2? certificate)
    {
        _channel = hub.ChannelAs(certificate);
        _call = new V1.Mirror.MirrorClient(_channel).Uplink();
    }

    public V1.Welcome Welcome { get; private set; } = null!;

    public static async Task<RawUplink> ConnectAsync(
        InProcessHub hub, X509Certificate2? certificate, string startToken = "", bool newStart = false)
    {
        var uplink = new RawUplink(hub, certificate);
        await uplink.SayHelloAsync(startToken, newStart);
        return uplink;
    }

    /// <summary>A stream that the hub has let in, and that has not said Hello.</summary>
    public static async Task<RawUplink> BeginAsync(InProcessHub hub, X509Certificate2 certificate)
    {
        int before = hub.CallersLetIn;
        var uplink = new RawUplink(hub, certificate);
        await Eventually.HoldsAsync(() => hub.CallersLetIn > before, "the call has passed the guard");
        return uplink;
    }

    public async Task SayHelloAsync(string startToken = "", bool newStart = false)
    {
        await SendAsync(new V1.EdgeMessage { Hello = new V1.Hello { SoftwareVersion = "raw", StartToken = startToken, NewStart = newStart } });
        Welcome = (await ReceiveAsync()).Welcome;
    }

    public Task SendAsync(V1.EdgeMessage message) => _call.RequestStream.WriteAsync(message).InTimeAsync();

    public Task SendChunkAsync(string topic, byte[] batches) =>
        SendAsync(new V1.EdgeMessage { Chunk = new V1.Chunk { Topic = topic, Data = ByteString.CopyFrom(batches) } });

    public async Task<V1.HubMessage> ReceiveAsync()
    {
        Assert.True(await _call.ResponseStream.MoveNext(CancellationToken.None).InTimeAsync());
        return _call.ResponseStream.Current;
    }

    /// <summary>Offers a topic; the answer is that it was opened or refused.</summary>
    public async Task<V1.HubMessage> OpenAsync(string topic, Guid incarnation, long durable = 1000)
    {
        await SendAsync(new V1.EdgeMessage { Open = new V1.OpenTopic { Topic = topic, Incarnation = incarnation.ToString("N"), Durable = durable } });
        return await ReceiveAsync();
    }

    /// <summary>Sends a chunk that must be refused; the code of the refusal. The acknowledgement gives the credit back.</summary>
    public async Task<string> SendRefusedChunkAsync(string topic, byte[] batches)
    {
        await SendChunkAsync(topic, batches);
        V1.TopicRefused refused = (await ReceiveAsync()).Refused;
        Assert.Equal(batches.Length, (await ReceiveAsync()).Ack.PieceBytes);
        return refused.ErrorCode;
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
