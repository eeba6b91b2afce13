using EdgeStream.Cluster.Grpc;
using Grpc.Core;
using Microsoft.Extensions.Hosting;

namespace EdgeStream.Mirror.Hub;

/// <summary>The hub's end of the live lanes, and what is known by them. Whose values they are, the caller's certificate says.</summary>
public sealed class LiveService(GeoLocationRights rights, GeoLocationHomes homes, LiveValues values, IHostApplicationLifetime lifetime) : V1.Live.LiveBase
{
    public override async Task Report(
        IAsyncStreamReader<V1.LiveUpdate> requestStream, IServerStreamWriter<V1.LiveTaken> responseStream, ServerCallContext context)
    {
        CallerIdentity caller = GuardInterceptor.CallerOf(context);
        homes.CheckIsHere(caller.Name);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);
        while (await requestStream.MoveNext(stop.Token).ConfigureAwait(false))
        {
            rights.CheckRight(caller);
            homes.CheckIsHere(caller.Name);
            int taken = await values.TakeAsync(caller.Name, requestStream.Current.Topic, requestStream.Current.Values, stop.Token).ConfigureAwait(false);
            await responseStream.WriteAsync(new V1.LiveTaken { Values = taken }, stop.Token).ConfigureAwait(false);
        }
    }

    public override async Task<V1.LatestResponse> Latest(V1.LatestRequest request, ServerCallContext context) => new()
    {
        Values = { await values.ReadAsync(request.Topic, request.GeoLocation, context.CancellationToken).ConfigureAwait(false) },
    };
}
