using EdgeStream.Cluster.Topology;

namespace EdgeStream.Cluster.Metadata;

/// <summary>What the SC of a cluster of several SPUs writes: which SPUs there are, besides what every SC does.</summary>
public interface IClusterTopologyStore : ITopologyStore
{
    IReadOnlyList<SpuInfo> LoadSpus();

    Task SaveSpuAsync(SpuInfo spu);

    Task DeleteSpuAsync(int id);
}
