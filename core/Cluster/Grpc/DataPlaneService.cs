using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using Microsoft.Extensions.Hosting;

namespace EdgeStream.Cluster.Grpc;

/// <summary>The data plane, as the SPU serves it. Partials: <c>.Produce</c> and <c>.Consume</c>.</summary>
/// <param name="cluster">Finds partitions.</param>
/// <param name="lifetime">Its stopping ends the streams: Kestrel would wait for them otherwise.</param>
/// <param name="streams">How many are read at once.</param>
/// <param name="hubClock">At an edge: what is known of the hub's time.</param>
public sealed partial class DataPlaneService(
    IClusterView cluster, IHostApplicationLifetime lifetime, ReaderStreams streams, HubClock? hubClock = null)
    : V1.DataPlane.DataPlaneBase;
