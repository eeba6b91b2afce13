using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Groups;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;

namespace EdgeStream.Agent.Hosting;

/// <summary>SC and SPU in one process: every edge, and a hub on one machine.</summary>
internal sealed class OneProcessNode : Node
{
    private const int SpuId = 1;

    private readonly string? _startProblem;

    private OneProcessNode(
        NodeOptions options, DataDirectory data, LiteDbMetadataStore store, LocalSpu spu, StreamController controller, GroupCoordinator groups,
        NodeStorage storage, ILoggerFactory loggers, string? startProblem)
        : base(options, data, storage, loggers)
    {
        (Store, Spu, Controller, Groups, _startProblem) = (store, spu, controller, groups, startProblem);
    }

    public LiteDbMetadataStore Store { get; }

    public LocalSpu Spu { get; }

    public StreamController Controller { get; }

    public GroupCoordinator Groups { get; }

    public override IClusterView Cluster => Controller;

    public override IReadOnlyList<Partition> Partitions => Spu.Partitions;

    public override IReadOnlyList<GroupShare> GroupShares => Groups.List();

    public override string Kind => Controller.IsHub ? "hub" : "edge";

    /// <summary>What a person should know of the start, and of where the partitions lie.</summary>
    public override IEnumerable<string> Problems => new[] { _startProblem, Spu.StoreProblem }.OfType<string>();

    /// <summary>Opens the state: recovery included, so what comes after it may serve.</summary>
    public static async Task<OneProcessNode> OpenAsync(NodeOptions options, bool isHub, ILoggerFactory loggers)
    {
        DataDirectory data = DataDirectory.Open(options.Data);
        LiteDbMetadataStore? store = null;
        LocalSpu? spu = null;
        NodeStorage? storage = null;
        try
        {
            storage = NodeStorage.Open(data.Path, options.Budget);
            (store, string? problem) = await MetadataRecovery.OpenAsync(data.Path, SpuId, loggers.CreateLogger<Node>()).ConfigureAwait(false);
            spu = new LocalSpu(SpuId, CreateEngine(options, data, storage, isHub, loggers.CreateLogger<LocalSpu>()), loggers.CreateLogger<LocalSpu>(), isHub);
            var controller = new StreamController(store, spu, isHub);
            await controller.StartAsync().ConfigureAwait(false);
            storage.Start(spu, controller, controller.TouchAsync);
            GroupCoordinator groups = await GroupCoordinator.StartAsync(
                controller, await PositionStore.OpenAsync(store, TimeProvider.System).ConfigureAwait(false), TimeProvider.System).ConfigureAwait(false);
            return new OneProcessNode(options, data, store, spu, controller, groups, storage, loggers, problem);
        }
        catch
        {
            if (storage is not null)
                await storage.DisposeAsync().ConfigureAwait(false);

            if (spu is not null)
                await spu.DisposeAsync().ConfigureAwait(false);

            store?.Dispose();
            data.Dispose();
            throw;
        }
    }

    protected override void AddParts(IServiceCollection services)
    {
        services.AddSingleton(new Accessor<StreamController>(Controller));
        services.AddSingleton<IClusterView>(Controller);
        services.AddSingleton<IMirrorPartitions>(Controller);
        services.AddSingleton(Spu);
        services.AddSingleton(new Accessor<GroupCoordinator>(Groups));
    }

    protected override async ValueTask DisposePartsAsync()
    {
        await Groups.DisposeAsync().ConfigureAwait(false);
        Controller.Dispose();
    }

    protected override async ValueTask DisposeLogAsync()
    {
        await Spu.DisposeAsync().ConfigureAwait(false);
        Store.Dispose();
    }
}
