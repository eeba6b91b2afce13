using System.Collections.Concurrent;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage;
using Grpc.Core;

namespace EdgeStream.Client;

/// <summary>
/// A connection to a cluster: the control plane by the SC, any of them that answers, producers and consumers by the SPU that leads their
/// partition. Safe from any thread; dispose it last.
/// </summary>
public sealed partial class EdgeStreamClient : IDisposable
{
    private readonly ClientOptions _options;
    private readonly ConcurrentDictionary<string, NodeClient> _nodes = new(StringComparer.Ordinal);
    private readonly TopologyCache _topology;

    // Which of the endpoints has answered last.
    private int _current;

    public EdgeStreamClient(ClientOptions options)
    {
        _options = options.Endpoints.Count > 0
            ? options
            : throw new EdgeStreamException("no endpoint of the cluster was given; write unix:/path/to/socket or https://host:port");
        _topology = new TopologyCache(known => CallAsync(node => node.ControlPlane.GetTopologyAsync(new GetTopologyRequest { KnownRevision = known })));

        // What cannot be an endpoint is said at once.
        foreach (string endpoint in options.Endpoints)
            NodeAt(endpoint);
    }

    /// <summary>Where it asks for the control plane: the endpoint that has answered last.</summary>
    public string Endpoint => _options.Endpoints[Volatile.Read(ref _current)];

    /// <summary>Topics, partitions, SPUs, geo-locations, at <see cref="Endpoint"/>. Its errors are <see cref="RpcException"/>; see <see cref="CallAsync"/>.</summary>
    public ControlPlane.ControlPlaneClient ControlPlane => Node.ControlPlane;

    /// <summary>What concerns one node; on its local socket only.</summary>
    public Agent.AgentClient Agent => Node.Agent;

    /// <summary>The latest values of live topics that <see cref="Endpoint"/> knows; of all: <see cref="ReadLatestAsync"/>.</summary>
    public Live.LiveClient Live => Node.Live;

    /// <summary>What groups have read that <see cref="Endpoint"/> coordinates; of all: <see cref="ListGroupsAsync"/>. To read as a member: <see cref="JoinGroup"/>.</summary>
    public ConsumerGroups.ConsumerGroupsClient ConsumerGroups => Node.ConsumerGroups;

    private NodeClient Node => NodeAt(Endpoint);

    /// <summary>
    /// Runs a call at the first of the endpoints that answers, beginning with the one that has answered last, and turns its failure into
    /// one line for people. A call that was lost on its way is made again at the next: it may have been carried out already.
    /// </summary>
    /// <exception cref="ClientException">It was refused, or none of the endpoints has answered.</exception>
    public async Task<T> CallAsync<T>(Func<NodeClient, AsyncUnaryCall<T>> call)
    {
        IReadOnlyList<string> endpoints = _options.Endpoints;
        int first = Volatile.Read(ref _current);
        List<(string Endpoint, ClientException Error)> failures = [];
        for (int i = 0; i < endpoints.Count; i++)
        {
            int at = (first + i) % endpoints.Count;
            try
            {
                T answer = await NodeAt(endpoints[at]).CallAsync(call).ConfigureAwait(false);
                Volatile.Write(ref _current, at);
                return answer;
            }
            catch (ClientException error) when (endpoints.Count > 1 && MayAnotherServe(error))
            {
                failures.Add((endpoints[at], error));
            }
        }

        throw ClientException.OfAll(failures);
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
        Leader leader = await FindLeaderAsync(topic, partition).ConfigureAwait(false);
        return new Producer(this, leader, partition, ack, patience ?? Producer.DefaultPatience, interrupted);
    }

    /// <summary>Starts to read a partition.</summary>
    /// <param name="request">What to read.</param>
    /// <param name="includeExpired">See <see cref="Consumer.IncludesExpired"/>.</param>
    /// <param name="gapSeen">See <see cref="Consumer.GapSeen"/>.</param>
    /// <param name="patience">How long a lost connection is tried again; null for <see cref="Producer.DefaultPatience"/>.</param>
    /// <param name="interrupted">Told, in one line, each time before it is tried again.</param>
    /// <exception cref="ClientException">There is no such topic or partition, or the cluster cannot be reached now.</exception>
    public async Task<Consumer> ConsumeAsync(
        ConsumeRequest request, bool includeExpired = false, Action<Gap>? gapSeen = null, TimeSpan? patience = null, Action<string>? interrupted = null)
    {
        Leader leader = await FindLeaderAsync(request.Topic, request.Partition).ConfigureAwait(false);
        return new Consumer(this, leader, request, patience ?? Producer.DefaultPatience, interrupted) { IncludesExpired = includeExpired, GapSeen = gapSeen };
    }

    /// <summary>A member of a consumer group, which joins when its records are asked for.</summary>
    public GroupConsumer JoinGroup(GroupOptions options) => new(this, options);

    public void Dispose()
    {
        foreach (NodeClient node in _nodes.Values)
            node.Dispose();
    }

    /// <summary>Who leads a partition now.</summary>
    internal async Task<Leader> FindLeaderAsync(string topic, int partition) =>
        LeaderOf(await _topology.AskAsync().ConfigureAwait(false), topic, partition);

    /// <summary>Who leads a partition by a newer topology than one that was seen; many who look do not ask much more often than one.</summary>
    internal async Task<Leader> FindLeaderAsync(string topic, int partition, Topology seen, CancellationToken cancellationToken = default) =>
        LeaderOf(await _topology.NewerThanAsync(seen, cancellationToken).ConfigureAwait(false), topic, partition);

    /// <summary>Who coordinates the groups of a topic now: who leads its first partition, or without partitions the first SPU.</summary>
    internal async Task<Leader> FindCoordinatorAsync(string topic) => CoordinatorOf(await _topology.AskAsync().ConfigureAwait(false), topic);

    /// <inheritdoc cref="FindLeaderAsync(string, int, Topology, CancellationToken)"/>
    internal async Task<Leader> FindCoordinatorAsync(string topic, Topology seen, CancellationToken cancellationToken) =>
        CoordinatorOf(await _topology.NewerThanAsync(seen, cancellationToken).ConfigureAwait(false), topic);

    private Leader CoordinatorOf(Topology topology, string topicName)
    {
        Topic topic = TopicOf(topology, topicName);
        if (topic.Partitions.MinBy(partition => partition.Partition_) is { } first)
            return LeaderOf(topology, topicName, first.Partition_);

        Spu spu = topology.Spus.MinBy(spu => spu.Id) ?? throw new ClientException(ErrorCode.Unavailable, "the cluster has no SPU at the moment");
        return new Leader(NodeOf(spu), spu.Id, topic, topology);
    }

    private Leader LeaderOf(Topology topology, string topicName, int number)
    {
        Topic topic = TopicOf(topology, topicName);
        Partition partition = topic.Partitions.FirstOrDefault(partition => partition.Partition_ == number)
            ?? throw new ClientException(ErrorCode.PartitionNotFound, $"topic '{topicName}' has no partition {number}, it has {topic.Partitions.Count}");
        Spu leader = topology.Spus.FirstOrDefault(spu => spu.Id == partition.LeaderSpu)
            ?? throw new ClientException(ErrorCode.Unavailable, $"{topicName}/{number} has no SPU that leads it at the moment");
        return new Leader(NodeOf(leader), leader.Id, topic, topology);
    }

    private static Topic TopicOf(Topology topology, string name) => topology.Topics.FirstOrDefault(topic => topic.Name == name)
        ?? throw new ClientException(ErrorCode.TopicNotFound, $"there is no topic '{name}'; 'edgestream topic create {name}' makes it");

    /// <summary>An SPU, reached the way that this client came; one that names no endpoint is where the SC is.</summary>
    private NodeClient NodeOf(Spu spu)
    {
        string scheme = Endpoint[..(Endpoint.IndexOf(':', StringComparison.Ordinal) + 1)];
        string? endpoint = spu.Endpoints.FirstOrDefault(endpoint => endpoint.StartsWith(scheme, StringComparison.Ordinal));
        if (endpoint is null && _options.Authority is not null)
            endpoint = spu.Endpoints.FirstOrDefault();

        if (endpoint is null && spu.Endpoints.Count > 0)
        {
            throw new ClientException(
                ErrorCode.InvalidArgument, $"SPU {spu.Id} is at {string.Join(", ", spu.Endpoints)}, not at {scheme}; --cert, --key-file and --ca name the certificates for it");
        }

        return endpoint is null ? Node : NodeAt(endpoint);
    }

    private NodeClient NodeAt(string endpoint) =>
        _nodes.GetOrAdd(endpoint, address => new NodeClient(address, EndpointChannel.Open(address, _options)));

    /// <summary>A standby is unavailable, and an SPU serves a part of the control plane only.</summary>
    private static bool MayAnotherServe(ClientException error) =>
        error.Code is ErrorCode.Unavailable or ErrorCode.WrongRole;
}
