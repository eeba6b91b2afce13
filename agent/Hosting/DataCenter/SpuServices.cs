using EdgeStream.Cluster;
using EdgeStream.Cluster.Groups;
using EdgeStream.Cluster.Metadata.JetStream;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Spu;
using EdgeStream.Mirror.Hub;

namespace EdgeStream.Agent.Hosting.DataCenter;

/// <summary>What an SPU serves besides its partitions, and what belongs to the cluster that its SC has told it: groups, and the cards of edges.</summary>
internal sealed class SpuServices : IAsyncDisposable
{
    private readonly JetStreamSpuStateStore _store;

    private SpuServices(JetStreamSpuStateStore store, GroupCoordinator groups)
    {
        _store = store;
        Groups = groups;
        Fence = new CardFence(store);
    }

    public GroupCoordinator Groups { get; }

    public CardFence Fence { get; }

    /// <exception cref="ClusterException">The NATS servers do not answer.</exception>
    public static async Task<SpuServices> StartAsync(JetStreamOptions nats, SpuView view, ILoggerFactory loggers)
    {
        var store = new JetStreamSpuStateStore(nats, view.Current.ClusterId, loggers.CreateLogger<JetStreamSpuStateStore>());
        try
        {
            PositionStore positions = await PositionStore.OpenAsync(store, TimeProvider.System).ConfigureAwait(false);
            return new SpuServices(store, await GroupCoordinator.StartAsync(view, positions, TimeProvider.System).ConfigureAwait(false));
        }
        catch
        {
            await store.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Groups.DisposeAsync().ConfigureAwait(false);
        await _store.DisposeAsync().ConfigureAwait(false);
    }
}
