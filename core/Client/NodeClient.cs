using EdgeStream.Protocol.V1;
using Grpc.Core;
using Grpc.Net.Client;

namespace EdgeStream.Client;

/// <summary>The services of one node of a cluster. Their errors are <see cref="RpcException"/>. Safe from any thread.</summary>
public sealed class NodeClient : IDisposable
{
    private readonly GrpcChannel _channel;

    internal NodeClient(string endpoint, GrpcChannel channel)
    {
        (Endpoint, _channel) = (endpoint, channel);
        ControlPlane = new ControlPlane.ControlPlaneClient(channel);
        DataPlane = new DataPlane.DataPlaneClient(channel);
        Agent = new Agent.AgentClient(channel);
        Live = new Live.LiveClient(channel);
        ConsumerGroups = new ConsumerGroups.ConsumerGroupsClient(channel);
    }

    /// <summary>Where it is.</summary>
    public string Endpoint { get; }

    /// <summary>Topics, partitions, SPUs, geo-locations.</summary>
    public ControlPlane.ControlPlaneClient ControlPlane { get; }

    /// <summary>Records of the partitions that the node leads.</summary>
    public DataPlane.DataPlaneClient DataPlane { get; }

    /// <summary>What concerns this node alone; on its local socket only.</summary>
    public Agent.AgentClient Agent { get; }

    /// <summary>The latest values of live topics; at a hub only.</summary>
    public Live.LiveClient Live { get; }

    /// <summary>What groups have read, and how to change it.</summary>
    public ConsumerGroups.ConsumerGroupsClient ConsumerGroups { get; }

    public void Dispose() => _channel.Dispose();

    /// <exception cref="ClientException">The call failed.</exception>
    internal async Task<T> CallAsync<T>(Func<NodeClient, AsyncUnaryCall<T>> call)
    {
        try
        {
            return await call(this).ConfigureAwait(false);
        }
        catch (RpcException error)
        {
            throw ClientException.From(error, Endpoint);
        }
    }
}
