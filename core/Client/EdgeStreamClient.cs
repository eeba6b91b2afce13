using System.Collections.Concurrent;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage;
using Grpc.Core;
using Grpc.Net.Client;

namespace EdgeStream.Client;

/// <summary>
/// A connection to a cluster: the control plane by the SC, producers and consumers by the SPU that leads their partition. Safe
/// from any thread; dispose it last.
/// </summary>
public sealed class EdgeStreamClient : IDisposable
{
    private readonly ClientOptions _options;
    private readonly ConcurrentDictionary<string, GrpcChannel> _channels = new(StringComparer.Ordinal);

    public EdgeStreamClient(ClientOptions options)
    {
        _options = options;
        ControlPlane = new ControlPlane.ControlPlaneClient(ChannelTo(options.Endpoint));
        Agent = new Agent.AgentClient(ChannelTo(options.Endpoint));
        Live = new Live.LiveClient(ChannelTo(options.Endpoint));
        ConsumerGroups = new ConsumerGroups.ConsumerGroupsClient(ChannelTo(options.Endpoint));
    }

    /// <summary>Where it connects to.</summary>
    public string Endpoint => _options.Endpoint;

    /// <summary>Topics, partitions, SPUs, geo-locations. Its errors are <see cref="RpcException"/>; see <see cref="CallAsync"/>.</summary>
    public ControlPlane.ControlPlaneClient ControlPlane { get; }

    /// <summary>What concerns one node; on its local socket only.</summary>
    public Agent.AgentClient Agent { get; }

    /// <summary>The latest values of live topics; at a hub only.</summary>
    public Live.LiveClient Live { get; }

    /// <summary>What groups have read, and how to change it. To read as a member: <see cref="JoinGroup"/>.</summary>
    public ConsumerGroups.ConsumerGroupsClient ConsumerGroups { get; }

    /// <summary>Runs a call and turns its failure into one line for people.</summary>
    /// <exception cref="ClientException">The call failed.</exception>
    public async Task<T> CallAsync<T>(Func<EdgeStreamClient, AsyncUnaryCall<T>> call)
    {
        try
        {
            return await call(this).ConfigureAwait(false);
        }
        catch (RpcException error)
        {
            throw ClientException.From(error, _options.Endpoint);
        }
    }

    /// <summary>Starts to append to a partition.</summary>
    /// <param name="topic">The topic.</param>
    /// <param name="partition">Which of its partitions.</param>
    /// <param name="ack">What an acknowledgement means.</param>
    /// <param name="patience">How long a lost connection is tried again; null for <see cref="Producer.DefaultPatience"/>.</param>
    /// <param name="interrupted">Told, in one line, each time before it is tried again.</param>
    /// <exception cref="ClientException">There is no such topic or partition, or the cluster cannot be reached now.</exception>
    public async Task<Producer> ProduceAsync(
        string topic, int partition = 0, Ack ack = Ack.Durable, TimeSpan? patience = null, Action<string>? interrupted = null)
    {
        (Topic known, DataPlane.DataPlaneClient spu) = await FindLeaderAsync(topic, partition).ConfigureAwait(false);
        return new Producer(this, spu, known, partition, ack, patience ?? Producer.DefaultPatience, interrupted);
    }

    /// <summary>Starts to read a partition.</summary>
    /// <param name="request">What to read.</param>
    /// <param name="includeExpired">See <see cref="Consumer.IncludesExpired"/>.</param>
    /// <param name="gapSeen">See <see cref="Consumer.GapSeen"/>.</param>
    /// <exception cref="ClientException">There is no such topic or partition.</exception>
    public async Task<Consumer> ConsumeAsync(ConsumeRequest request, bool includeExpired = false, Action<Gap>? gapSeen = null)
    {
        (Topic topic, DataPlane.DataPlaneClient spu) = await FindLeaderAsync(request.Topic, request.Partition).ConfigureAwait(false);
        return new Consumer(spu, topic, request, _options.Endpoint) { IncludesExpired = includeExpired, GapSeen = gapSeen };
    }

    /// <summary>A member of a consumer group, which joins when its records are asked for.</summary>
    public GroupConsumer JoinGroup(GroupOptions options) => new(this, options);

    public void Dispose()
    {
        foreach (GrpcChannel channel in _channels.Values)
            channel.Dispose();
    }

    internal async Task<(Topic Topic, DataPlane.DataPlaneClient Spu)> FindLeaderAsync(string topicName, int number)
    {
        Topology topology = await CallAsync(client => client.ControlPlane.GetTopologyAsync(new GetTopologyRequest())).ConfigureAwait(false);
        Topic topic = topology.Topics.FirstOrDefault(topic => topic.Name == topicName)
            ?? throw new ClientException(ErrorCode.TopicNotFound, $"there is no topic '{topicName}'; 'edgestream topic create {topicName}' makes it");
        Partition partition = topic.Partitions.FirstOrDefault(partition => partition.Partition_ == number)
            ?? throw new ClientException(ErrorCode.PartitionNotFound, $"topic '{topicName}' has no partition {number}, it has {topic.Partitions.Count}");
        Spu? leader = topology.Spus.FirstOrDefault(spu => spu.Id == partition.LeaderSpu);
        return (topic, new DataPlane.DataPlaneClient(ChannelTo(EndpointOf(leader))));
    }

    /// <summary>Where an SPU is reached the way that this client came; one that names no endpoint is where the SC is.</summary>
    private string EndpointOf(Spu? spu)
    {
        string scheme = _options.Endpoint[..(_options.Endpoint.IndexOf(':', StringComparison.Ordinal) + 1)];
        return spu?.Endpoints.FirstOrDefault(endpoint => endpoint.StartsWith(scheme, StringComparison.Ordinal)) ?? _options.Endpoint;
    }

    private GrpcChannel ChannelTo(string endpoint) =>
        _channels.GetOrAdd(endpoint, address => EndpointChannel.Open(_options with { Endpoint = address }));
}
