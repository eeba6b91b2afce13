using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Grpc;
using Grpc.Core;
using Microsoft.Extensions.Hosting;

namespace EdgeStream.Mirror.Hub;

/// <summary>The hub's end of the live lanes, and what is known by them. Whose values they are, the caller's certificate says.</summary>
public sealed class LiveService(StreamController controller, LiveValues values, IHostApplicationLifetime lifetime) : V1.Live.LiveBase
{
    public override async Task Report(
        IAsyncStreamReader<V1.LiveUpdate> requestStream, IServerStreamWriter<V1.LiveTaken> responseStream, ServerCallContext context)
    {
        string geoLocation = GuardInterceptor.CallerOf(context).Name;
        string? key = controller.Current.GeoLocations.GetValueOrDefault(geoLocation)?.KeyFingerprint;
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);
        while (await requestStream.MoveNext(stop.Token).ConfigureAwait(false))
        {
            // Revoked, or joined anew from another card, since the call began.
            if (controller.Current.GeoLocations.GetValueOrDefault(geoLocation) is not { Revoked: false } now || now.KeyFingerprint != key)
                throw new ClusterException(ErrorCode.Unauthenticated, $"geo-location '{geoLocation}' was revoked, or has joined again since");

            int taken = values.Take(geoLocation, requestStream.Current.Topic, requestStream.Current.Values);
            await responseStream.WriteAsync(new V1.LiveTaken { Values = taken }, stop.Token).ConfigureAwait(false);
        }
    }

    public override Task<V1.LatestResponse> Latest(V1.LatestRequest request, ServerCallContext context) =>
        Task.FromResult(new V1.LatestResponse { Values = { values.Read(request.Topic, request.GeoLocation) } });
}
