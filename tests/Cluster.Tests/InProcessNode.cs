using System.Net.Sockets;
using EdgeStream.Client;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Spu;
using EdgeStream.ClusterTesting;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;

namespace EdgeStream.Cluster.Tests;

/// <summary>An edge node on a Unix socket, and a client of it.</summary>
public sealed class InProcessNode : IAsyncDisposable
{
    private readonly TempDirectory _temp = new();

    private InProcessNode() => HubClock = new HubClock(Time);

    public ManualTime Time { get; } = new();

    /// <summary>What it knows of the time at a hub.</summary>
    public HubClock HubClock { get; }

    public NodeParts Parts { get; private set; } = null!;

    public NodeServer Server { get; private set; } = null!;

    public EdgeStreamClient Client { get; private set; } = null!;

    public FaultyFiles Files { get; } = new();

    public string Socket => _temp.Sub("node.sock");

    public static async Task<InProcessNode> StartAsync(LogOptions? options = null, LogResources? resources = null, int maxStreams = 1000)
    {
        var node = new InProcessNode();
        node.Parts = await NodeParts.StartAsync(node._temp.Sub("data"), options: options, files: node.Files, resources: resources);
        node.Server = await NodeServer.StartAsync(
            node.Parts,
            kestrel =>
            {
                kestrel.ListenUnixSocket(node.Socket, endpoint => endpoint.Protocols = HttpProtocols.Http2);
                kestrel.Listen(System.Net.IPAddress.Loopback, 0, endpoint => endpoint.Protocols = HttpProtocols.Http2);
            },
            services => services.AddSingleton<ICallerAuthenticator, NoAuthenticator>().AddSingleton(node.HubClock).AddSingleton(new ReaderStreams(maxStreams)));
        node.Client = node.NewClient();
        return node;
    }

    public EdgeStreamClient NewClient() => new(new ClientOptions { Endpoint = $"unix:{Socket}" });

    /// <summary>For calls that the client has no word for.</summary>
    public GrpcChannel NewChannel() => GrpcChannel.ForAddress("http://localhost", new GrpcChannelOptions
    {
        HttpHandler = new SocketsHttpHandler
        {
            ConnectCallback = async (_, cancellationToken) =>
            {
                var socket = new System.Net.Sockets.Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(Socket), cancellationToken);
                return new NetworkStream(socket, ownsSocket: true);
            },
        },
        DisposeHttpClient = true,
    });

    public Task<Topic> CreateTopicAsync(string name, string compression = "none", int partitions = 1) =>
        Client.CallAsync(client => client.ControlPlane.CreateTopicAsync(new CreateTopicRequest
        {
            Name = name,
            Partitions = partitions,
            Settings = new TopicSettings { Compression = compression },
        }));

    /// <summary>Appends these values, a batch each, and waits until they are durable.</summary>
    public async Task FillAsync(string topic, params string[] values)
    {
        foreach (string value in values)
            await Parts.Log(topic).AppendAsync(Batches.Of(value), AckLevel.Durable);
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await Server.DisposeAsync();
        await Parts.DisposeAsync();
        _temp.Dispose();
    }
}
