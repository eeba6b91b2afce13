using System.Collections.Concurrent;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Topology;
using Grpc.Core;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Mirror.Hub;

/// <summary>
/// The hub's end of the uplinks. An edge has one: when it connects anew, the old stream (which may be dead without the hub
/// knowing) is ended first, so that two never write to one partition.
/// </summary>
public sealed class MirrorService(
    StreamController controller,
    GeoLocationPresence presence,
    HubLinks links,
    HubFlow flow,
    IHostApplicationLifetime lifetime,
    ILogger<MirrorService> logger)
    : V1.Mirror.MirrorBase
{
    public override async Task Uplink(
        IAsyncStreamReader<V1.EdgeMessage> requestStream, IServerStreamWriter<V1.HubMessage> responseStream, ServerCallContext context)
    {
        string geoLocation = GuardInterceptor.CallerOf(context).Name;
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);
        using HubLinks.Link link = await links.ReplaceAsync(geoLocation, stop).ConfigureAwait(false);
        presence.Connected(geoLocation);
        try
        {
            if (!await requestStream.MoveNext(stop.Token).ConfigureAwait(false) || requestStream.Current.Hello is null)
                throw new ClusterException(ErrorCode.InvalidArgument, "an uplink begins with Hello");

            logger.LogInformation("{GeoLocation} is connected ({Version})", geoLocation, requestStream.Current.Hello.SoftwareVersion);
            var session = new HubSession(geoLocation, controller, presence, flow, logger);
            await session.RunAsync(requestStream, responseStream, stop).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (link.WasReplaced)
        {
            throw new ClusterException(ErrorCode.Unavailable, $"'{geoLocation}' has connected anew; this stream was its old one");
        }
        finally
        {
            presence.Disconnected(geoLocation);
            logger.LogInformation("{GeoLocation} is disconnected", geoLocation);
        }
    }
}
