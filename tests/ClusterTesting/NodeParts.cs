using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Engines;
using EdgeStream.Cluster.Groups;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Spu;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Log;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.ClusterTesting;

/// <summary>What every node consists of: metadata, SPU and SC on one data directory.</summary>
public sealed class NodeParts : IAsyncDisposable
{
    private NodeParts(string dataDirectory, LiteDbMetadataStore store, string? metadataProblem, LocalSpu spu, StreamController controller, GroupCoordinator groups)
    {
        DataDirectory = dataDirectory;
        Store = store;
        MetadataProblem = metadataProblem;
        Spu = spu;
        Controller = controller;
        Groups = groups;
    }

    public string DataDirectory { get; }

    public string? MetadataProblem { get; }

    public LiteDbMetadataStore Store { get; }

    public LocalSpu Spu { get; }

    public StreamController Controller { get; }

    public GroupCoordinator Groups { get; }

    public static async Task<NodeParts> StartAsync(
        string dataDirectory, bool isHub = false, LogOptions? options = null, IStorageFiles? files = null,
        LogResources? resources = null, IPartitionEngine? engine = null)
    {
        Directory.CreateDirectory(dataDirectory);
        (LiteDbMetadataStore store, string? problem) = await MetadataRecovery.OpenAsync(dataDirectory, leaderSpu: 0, NullLogger.Instance);
        engine ??= new SegmentEngine(
            new PartitionDirectories(dataDirectory), options ?? LogOptions.Default, NullLogger.Instance, files, resources, isHub);
        var spu = new LocalSpu(0, engine, NullLogger<LocalSpu>.Instance, isHub);
        var controller = new StreamController(store, spu, isHub);
        PositionStore positions = await PositionStore.OpenAsync(store, TimeProvider.System);
        GroupCoordinator groups = await GroupCoordinator.StartAsync(controller, positions, TimeProvider.System);
        var parts = new NodeParts(dataDirectory, store, problem, spu, controller, groups);
        await parts.Controller.StartAsync();
        return parts;
    }

    public PartitionLog Log(string topic, int partition = 0) => Controller.GetPartition(topic, partition).Segments;

    public async ValueTask DisposeAsync()
    {
        await Groups.DisposeAsync();
        await Spu.DisposeAsync();
        Controller.Dispose();
        Store.Dispose();
    }
}
