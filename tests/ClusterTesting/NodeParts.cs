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
    private NodeParts(string dataDirectory, bool isHub, LogOptions options, IStorageFiles? files, LogResources? resources, IPartitionEngine? engine)
    {
        DataDirectory = dataDirectory;
        Directory.CreateDirectory(dataDirectory);
        Store = MetadataRecovery.Open(dataDirectory, leaderSpu: 0, NullLogger.Instance, out string? problem);
        MetadataProblem = problem;
        engine ??= new SegmentEngine(new PartitionDirectories(dataDirectory), options, NullLogger.Instance, files, resources, isHub);
        Spu = new SpuNode(0, engine, NullLogger<SpuNode>.Instance, isHub);
        Controller = new StreamController(Store, Spu, isHub);
        Groups = new GroupCoordinator(Controller, new PositionStore(Store, TimeProvider.System), TimeProvider.System);
    }

    public string DataDirectory { get; }

    public string? MetadataProblem { get; }

    public IMetadataStore Store { get; }

    public SpuNode Spu { get; }

    public StreamController Controller { get; }

    public GroupCoordinator Groups { get; }

    public static async Task<NodeParts> StartAsync(
        string dataDirectory, bool isHub = false, LogOptions? options = null, IStorageFiles? files = null,
        LogResources? resources = null, IPartitionEngine? engine = null)
    {
        var parts = new NodeParts(dataDirectory, isHub, options ?? LogOptions.Default, files, resources, engine);
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
