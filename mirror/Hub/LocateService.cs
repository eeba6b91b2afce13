using EdgeStream.Cluster.Grpc;
using Grpc.Core;

namespace EdgeStream.Mirror.Hub;

/// <summary>The mirror's calls as an SC serves them: it says which SPU serves the caller, and sends there who begins an uplink.</summary>
public sealed class LocateService(GeoLocationHomes homes) : V1.Mirror.MirrorBase
{
    public override Task<V1.LocateResponse> Locate(V1.LocateRequest request, ServerCallContext context) =>
        Task.FromResult(homes.Locate(GuardInterceptor.CallerOf(context).Name));

    public override Task Uplink(
        IAsyncStreamReader<V1.EdgeMessage> requestStream, IServerStreamWriter<V1.HubMessage> responseStream, ServerCallContext context)
    {
        homes.CheckIsHere(GuardInterceptor.CallerOf(context).Name);
        return Task.CompletedTask;
    }
}
