using EdgeStream.Cluster;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Topology;
using Grpc.Core;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Mirror.Hub;

/// <summary>The hub's end of the downlinks. An edge has one: when it connects anew, the old stream is ended first.</summary>
public sealed class DownlinkService(
    IClusterView cluster,
    HubLinks links,
    GeoLocationRights rights,
    GeoLocationHomes homes,
    TimeProvider time,
    IHostApplicationLifetime lifetime,
    ILogger<DownlinkService> logger)
    : V1.Downlink.DownlinkBase
{
    // Beside the geo-location's uplink in the same table; no name has a slash.
    private const string LinkSuffix = "/downlink";

    public override async Task Follow(
        IAsyncStreamReader<V1.DownEdgeMessage> requestStream,
        IServerStreamWriter<V1.DownHubMessage> responseStream,
        ServerCallContext context)
    {
        CallerIdentity caller = GuardInterceptor.CallerOf(context);
        string geoLocation = caller.Name;
        homes.CheckIsHere(geoLocation);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);
        using HubLinks.Link link = await links.ReplaceAsync(geoLocation + LinkSuffix, stop).ConfigureAwait(false);
        try
        {
            using var session = new DownlinkSession(
                geoLocation, cluster, CheckRight, responseStream, time, logger);
            await session.RunAsync(requestStream, stop).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (link.WasReplaced)
        {
            throw new ClusterException(ErrorCode.Unavailable, $"'{geoLocation}' has connected anew; this stream was its old one");
        }

        void CheckRight()
        {
            rights.CheckRight(caller);
            homes.CheckIsHere(geoLocation);
        }
    }
}
