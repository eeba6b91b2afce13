using System.Collections.Concurrent;
using System.Diagnostics;
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
    private static readonly TimeSpan AskAgainAfter = TimeSpan.FromMilliseconds(250);

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
        _topology = new TopologyCache(known => CallOnceAsync(node => node.ControlPlane.GetTopologyAsync(new GetTopologyRequest { KnownRevision = known })));

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
    /// one line for people. A call that was lost on its way is made again at the next: it may have been carried out already. What passes soon
    /// is waited for, as <see cref="ClientOptions.Patience"/> says.
    /// </summary>
    /// <exception cref="ClientException">It was refused, or none of the endpoints has answered.</exception>
    public Task<T> CallAsync<T>(Func<NodeClient, AsyncUnaryCall<T>> call) => PatientlyAsync(() => CallOnceAsync(call));

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

    /// <summary>Starts to append to all partitions of a topic, whose keys say which record goes where.</summary>
    /// <param name="topic">The topic.</param>
    /// <param name="ack">What an acknowledgement means.</param>
    /// <param name="patience">How long a lost connection is tried again; null for <see cref="Producer.DefaultPatience"/>.</param>
    /// <param name="interrupted">Told, in one line and on any thread, each time before it is tried again.</param>
    /// <exception cref="ClientException">
    /// There is no such topic, or its partitions are those of geo-locations (<see cref="PartitionedProducer.IsFor"/>), or the cluster cannot
    /// be reached now.
    /// </exception>
    public async Task<PartitionedProducer> ProduceByKeyAsync(
        string topic, Ack ack = Ack.Durable, TimeSpan? patience = null, Action<string>? interrupted = null)
    {
        Topology topology = await AskTopologyAsync().ConfigureAwait(false);
        Topic known = TopicOf(topology, topic);
        if (!PartitionedProducer.IsFor(known))
            throw new ClientException(ErrorCode.InvalidArgument, $"the partitions of topic '{topic}' are those of geo-locations; name one of them");

        // All of them before the first producer is made.
        Dictionary<int, Leader> leaders = known.Partitions.ToDictionary(
            partition => partition.Partition_, partition => LeaderOf(topology, topic, partition.Partition_));
        return new PartitionedProducer(
            [.. leaders.Keys.Order()],
            (partition, handedOver) => new Producer(
                this, leaders[partition], partition, ack, patience ?? Producer.DefaultPatience, interrupted, handedOver));
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

    /// <summary>Starts to read all partitions of a topic.</summary>
    /// <param name="request">What to read of each; its partition counts for nothing. An offset that is not held any more stands for the first that is.</param>
    /// <param name="gapSeen">See <see cref="Consumer.GapSeen"/>; on any thread.</param>
    /// <param name="patience">How long a lost connection is tried again; null for <see cref="Producer.DefaultPatience"/>.</param>
    /// <param name="interrupted">Told, in one line and on any thread, each time before it is tried again.</param>
    /// <exception cref="ClientException">There is no such topic, or the cluster cannot be reached now.</exception>
    public async Task<MergedConsumer> ConsumeAllAsync(
        ConsumeRequest request, Action<Gap>? gapSeen = null, TimeSpan? patience = null, Action<string>? interrupted = null)
    {
        Topic topic = TopicOf(await AskTopologyAsync().ConfigureAwait(false), request.Topic);
        return new MergedConsumer(
            topic.Partitions.Select(partition => new ConsumeRequest(request) { Partition = partition.Partition_ }),
            one => ConsumeAsync(one, gapSeen: gapSeen, patience: patience, interrupted: interrupted));
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
        LeaderOf(await AskTopologyAsync().ConfigureAwait(false), topic, partition);

    /// <summary>Who leads a partition by a newer topology than one that was seen; many who look do not ask much more often than one.</summary>
    internal async Task<Leader> FindLeaderAsync(string topic, int partition, Topology seen, CancellationToken cancellationToken = default) =>
        LeaderOf(await _topology.NewerThanAsync(seen, cancellationToken).ConfigureAwait(false), topic, partition);

    /// <summary>Who coordinates the groups of a topic now: who leads its first partition, or without partitions the first SPU.</summary>
    internal async Task<Leader> FindCoordinatorAsync(string topic) => CoordinatorOf(await AskTopologyAsync().ConfigureAwait(false), topic);

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

    /// <summary>The topology as it is now, for who has none yet.</summary>
    private Task<Topology> AskTopologyAsync() => PatientlyAsync(_topology.AskAsync);

    /// <summary>Until it is no error, or one that does not pass, or <see cref="ClientOptions.Patience"/> is over.</summary>
    private async Task<T> PatientlyAsync<T>(Func<Task<T>> ask)
    {
        long since = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                return await ask().ConfigureAwait(false);
            }
            catch (ClientException error) when (error.IsPassing && Stopwatch.GetElapsedTime(since) < _options.Patience)
            {
                await Task.Delay(AskAgainAfter).ConfigureAwait(false);
            }
        }
    }

    private async Task<T> CallOnceAsync<T>(Func<NodeClient, AsyncUnaryCall<T>> call)
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
                ErrorCode.InvalidArgument,
                $"SPU {spu.Id} is reached at {string.Join(", ", spu.Endpoints)} only, by a certificate that --cert, --key-file and --ca name; "
                + "at an SC 'edgestream cert issue NAME --role admin --out DIR' makes one");
        }

        return endpoint is null ? Node : NodeAt(endpoint);
    }

    private NodeClient NodeAt(string endpoint) =>
        _nodes.GetOrAdd(endpoint, address => new NodeClient(address, EndpointChannel.Open(address, _options)));

    /// <summary>A standby is unavailable, and an SPU serves a part of the control plane only.</summary>
    private static bool MayAnotherServe(ClientException error) =>
        error.Code is ErrorCode.Unavailable or ErrorCode.WrongRole;
}
