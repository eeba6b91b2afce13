using System.Collections.Concurrent;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using Grpc.Core;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Mirror.Hub;

/// <summary>
/// The hub's end of the uplinks. An edge has one: when it connects anew, the old stream (which may be dead without the hub
/// knowing) is ended first, so that two never write to one partition.
/// </summary>
public sealed class MirrorService(
    IClusterView cluster,
    IMirrorPartitions partitions,
    GeoLocationPresence presence,
    HubLinks links,
    HubFlow flow,
    CardFence fence,
    GeoLocationRights rights,
    GeoLocationHomes homes,
    TimeProvider time,
    IHostApplicationLifetime lifetime,
    ILogger<MirrorService> logger)
    : V1.Mirror.MirrorBase
{
    public override Task<V1.LocateResponse> Locate(V1.LocateRequest request, ServerCallContext context) =>
        Task.FromResult(homes.Locate(GuardInterceptor.CallerOf(context).Name));

    public override async Task Uplink(
        IAsyncStreamReader<V1.EdgeMessage> requestStream, IServerStreamWriter<V1.HubMessage> responseStream, ServerCallContext context)
    {
        CallerIdentity caller = GuardInterceptor.CallerOf(context);
        string geoLocation = caller.Name;
        homes.CheckIsHere(geoLocation);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);
        if (!await requestStream.MoveNext(stop.Token).ConfigureAwait(false) || requestStream.Current.Hello is not { } hello)
            throw new ClusterException(ErrorCode.InvalidArgument, "an uplink begins with Hello");

        HubSession.CheckSize(requestStream.Current);

        await partitions.EnsureGeoLocationAsync(geoLocation).ConfigureAwait(false);

        // Before the old stream is ended for it: neither a copy of the card, nor a card that was replaced while the hub waited for
        // its Hello, must get in the way of the card.
        CheckRight(caller);
        string? startToken = await fence.AdmitAsync(geoLocation, hello.StartToken, hello.NewStart).ConfigureAwait(false);
        using HubLinks.Link link = await links.ReplaceAsync(geoLocation, stop).ConfigureAwait(false);
        presence.Connected(geoLocation);
        string? problem = null;
        try
        {
            logger.LogInformation("{GeoLocation} is connected ({Version})", geoLocation, hello.SoftwareVersion);
            var session = new HubSession(
                geoLocation, startToken, cluster, partitions, presence, flow, fence, () => CheckRight(caller), time, logger);
            await session.RunAsync(requestStream, responseStream, stop).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (link.WasReplaced)
        {
            problem = "the edge has connected anew, while this link was still thought to be good";
            throw new ClusterException(ErrorCode.Unavailable, $"'{geoLocation}' has connected anew; this stream was its old one");
        }
        catch (Exception error) when (!lifetime.ApplicationStopping.IsCancellationRequested)
        {
            // Another SPU has it now, and the edge goes there.
            problem = error is ClusterException { Code: ErrorCode.NotLeader } ? null
                : error is EdgeStreamException ? error.Message : "the connection was lost";
            throw;
        }
        finally
        {
            presence.Disconnected(geoLocation, problem);
            logger.LogInformation("{GeoLocation} is disconnected", geoLocation);
        }
    }

    public override Task<V1.ListMirroredResponse> ListMirrored(V1.ListMirroredRequest request, ServerCallContext context)
    {
        string geoLocation = GuardInterceptor.CallerOf(context).Name;
        homes.CheckIsHere(geoLocation);
        return Task.FromResult(new V1.ListMirroredResponse
        {
            Topics = { cluster.Current.Topics.Values.Where(topic => topic.Settings.Mirror && topic.PartitionOf(geoLocation) is not null).Select(topic => topic.Name) },
        });
    }

    public override async Task ListBatches(
        V1.ListBatchesRequest request, IServerStreamWriter<V1.ListBatchesResponse> responseStream, ServerCallContext context)
    {
        string geoLocation = GuardInterceptor.CallerOf(context).Name;
        homes.CheckIsHere(geoLocation);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);
        if (cluster.Current.Topics.GetValueOrDefault(request.Topic)?.PartitionOf(geoLocation) is not { } known)
        {
            await responseStream.WriteAsync(new V1.ListBatchesResponse(), stop.Token).ConfigureAwait(false);
            return;
        }

        await foreach (V1.ListBatchesResponse response in BatchProofs
            .Of(cluster.GetPartition(request.Topic, known.Number), request.FromOffset, request.ToOffset)
            .WithCancellation(stop.Token)
            .ConfigureAwait(false))
        {
            await responseStream.WriteAsync(response, stop.Token).ConfigureAwait(false);
        }
    }

    /// <summary>That the caller may mirror, and may mirror here.</summary>
    private void CheckRight(CallerIdentity caller)
    {
        rights.CheckRight(caller);
        homes.CheckIsHere(caller.Name);
    }
}
