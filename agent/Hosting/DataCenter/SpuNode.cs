using EdgeStream.Cluster;
using EdgeStream.Cluster.Engines.JetStream;
using EdgeStream.Cluster.Groups;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Bundles;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Mirror.Hub;
using EdgeStream.Storage;
using ErrorCode = EdgeStream.Protocol.V1.ErrorCode;
using NodeStatus = EdgeStream.Protocol.V1.NodeStatus;

namespace EdgeStream.Agent.Hosting.DataCenter;

/// <summary>An SPU of a cluster: serves the partitions that the SC gives to it, out of NATS JetStream, also while there is no SC.</summary>
internal sealed class SpuNode : Node
{
    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(1);

    private readonly SpuIdentity _identity;
    private readonly JetStreamEngine _engine;
    private readonly LocalSpu _spu;
    private readonly SpuView _view;
    private readonly ScLink _link;
    private readonly GeoLocationRights _rights;
    private readonly GeoLocationHomes _homes;
    private readonly HubLinks _links = new();
    private readonly CancellationTokenSource _stop = new();
    private volatile SpuServices? _services;

    // Set before the link starts.
    private Func<string?>? _findProblem;
    private volatile string? _problem;
    private Task _starting = Task.CompletedTask;

    private SpuNode(NodeOptions options, DataDirectory data, NodeStorage storage, SpuIdentity identity, ClusterOptions cluster, string endpoint, ILoggerFactory loggers)
        : base(options, data, storage, loggers)
    {
        _identity = identity;
        _engine = new JetStreamEngine(data.Path, options.JetStream!, loggers.CreateLogger<JetStreamEngine>(), storage.Resources.Clock);
        _spu = new LocalSpu(identity.Id, _engine, loggers.CreateLogger<LocalSpu>(), isHub: true);
        _view = new SpuView(_spu);
        _link = new ScLink(
            new SpuInfo(identity.Id, [endpoint], cluster.Zone), cluster.Controllers, identity, _view, () => _engine.ConnectedServer, Presence,
            loggers.CreateLogger<ScLink>())
        {
            FindProblem = () => _findProblem?.Invoke(),
        };
        _rights = new GeoLocationRights(identity.Authority, _ => null, _view, TimeProvider.System);
        _homes = new GeoLocationHomes(_view, identity.Id, cluster.Controllers);
    }

    public override IClusterView Cluster => _view;

    public override IReadOnlyList<Partition> Partitions => _spu.Partitions;

    public override IReadOnlyList<GroupShare> GroupShares => _services?.Groups.List() ?? [];

    /// <summary>Those that it serves: of the others' links it knows nothing.</summary>
    public override IEnumerable<GeoLocationInfo> GeoLocations => _view.Current.GeoLocations.Values.Where(geo => _homes.IsHere(geo.Name));

    public override string Kind => "spu";

    public override string Standing => $"SPU {_identity.Id}, {(_link.Controller is { } sc ? $"registered with the SC at {sc}" : "without an SC")}";

    public override void Describe(Protocol.V1.NodeStatus status) => status.SpuRegistered = _link.Controller is not null;

    /// <summary>That there is no SC is one, though what is there goes on.</summary>
    public override IEnumerable<string> Problems =>
    [
        .. _link.Problem is { } link ? [$"no SC: {link}"] : Array.Empty<string>(),
        .. _problem is { } problem ? [problem] : Array.Empty<string>(),
    ];

    public static async Task RunAsync(NodeOptions options, ClusterOptions cluster, CancellationToken cancellationToken)
    {
        using ILoggerFactory loggers = NodeLogging.CreateFactory();
        await using SpuNode node = Open(options, cluster, loggers);
        WebApplicationBuilder builder = node.CreateApplication(node._rights);
        ListenOnNetwork(builder, options.Listen!, node._identity.Certificate);
        var importer = new BundleImporter(node._view, node._link, node._rights, node._links, node.Data.Path);
        var agent = new AgentService(node, TimeProvider.System, importer: importer);
        node._findProblem = () => agent.Problems().FirstOrDefault();
        builder.Services.AddSingleton(agent);
        await using WebApplication application = builder.Build();
        MapPartitionServices(application);
        await node.ServeAsync(application, StartAsync, StopAsync, cancellationToken).ConfigureAwait(false);

        Task StartAsync()
        {
            node._link.Start();
            node._starting = node.StartServicesAsync();
            return Task.CompletedTask;
        }

        // Until others have its partitions it goes on with them, and then says where they are.
        async Task StopAsync()
        {
            await node._link.StopAsync().ConfigureAwait(false);
            node.Stopped("registration");
        }
    }

    protected override void AddParts(IServiceCollection services)
    {
        services.AddSingleton<IClusterView>(_view);
        services.AddSingleton<IMirrorPartitions>(_link);
        services.AddSingleton(_spu);
        services.AddSingleton(_rights);
        services.AddSingleton(_homes);
        services.AddSingleton(_links);
        services.AddSingleton(new HubFlow());
        services.AddSingleton(new LiveValues(_view));
        services.AddSingleton(new Accessor<GroupCoordinator>(() => Require().Groups));
        services.AddTransient(_ => Require().Fence);
    }

    protected override async ValueTask DisposePartsAsync()
    {
        await _link.DisposeAsync().ConfigureAwait(false);
        await _stop.CancelAsync().ConfigureAwait(false);
        await _starting.ConfigureAwait(false);
        if (_services is { } services)
            await services.DisposeAsync().ConfigureAwait(false);
    }

    protected override async ValueTask DisposeLogAsync()
    {
        await _spu.DisposeAsync().ConfigureAwait(false);
        _identity.Dispose();
        _stop.Dispose();
    }

    private static SpuNode Open(NodeOptions options, ClusterOptions cluster, ILoggerFactory loggers)
    {
        DataDirectory data = DataDirectory.Open(options.Data);
        SpuIdentity? identity = null;
        try
        {
            NodeStorage storage = NodeStorage.Open(data.Path, options.Budget);
            identity = SpuIdentity.Load(cluster.Identity!, cluster.Id);
            options = options with { JetStream = options.JetStream! with { ClientName = $"edgestream SPU {identity.Id}" } };
            var node = new SpuNode(options, data, storage, identity, cluster, AdvertisedEndpoint.Of(cluster, options.Listen!), loggers);
            storage.Start(node._spu, node._view, node._view.TouchAsync);
            return node;
        }
        catch
        {
            identity?.Dispose();
            data.Dispose();
            throw;
        }
    }

    private SpuServices Require() => _services ?? throw new ClusterException(
        ErrorCode.Unavailable, $"SPU {_identity.Id} waits: {_problem ?? _link.Problem ?? "it has just started"}");

    /// <summary>Never fails: it is tried until it can be, or the node stops.</summary>
    private async Task StartServicesAsync()
    {
        await _link.Served.WaitAsync(_stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        while (!_stop.IsCancellationRequested && _services is null)
        {
            try
            {
                _services = await SpuServices.StartAsync(Options.JetStream!, _view, Loggers).ConfigureAwait(false);
                _problem = null;
            }
            catch (Exception error)
            {
                _problem = error is EdgeStreamException ? error.Message : $"unexpected {error.GetType().Name}: {error.Message}";
                await Task.Delay(RetryAfter, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }
}
