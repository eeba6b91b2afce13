using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Topology;
using Grpc.Core;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Cluster.Grpc;

/// <summary>What SPUs ask of the SC that is active.</summary>
public sealed class SpuControlService(
    Accessor<ScActivity> active, GeoLocationPresence presence, TimeProvider time, IHostApplicationLifetime lifetime, ILogger<SpuControlService> logger) : V1.SpuControl.SpuControlBase
{
    private const int MaxZoneLength = 64;
    private const int MaxEndpoints = 8;
    private const int MaxWordLength = 256;
    private const int MaxProblemLength = 1000;

    // Epochs and terms grow by one: none comes near, and there must always be a greater one.
    private const long HighestNumber = long.MaxValue / 2;

    // Each change of a large topology is told to each SPU, whole; so much of it in a second, and of several changes the last.
    private const double BytesPerSecond = 8 * 1024 * 1024;

    // The same for all of a call: a service is made for each.
    private readonly ScActivity _sc = active.Value;

    public override async Task Register(
        IAsyncStreamReader<V1.SpuReport> requestStream, IServerStreamWriter<V1.SpuUpdate> responseStream, ServerCallContext context)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping, _sc.Ended);
        if (!await requestStream.MoveNext(stop.Token).ConfigureAwait(false) || requestStream.Current.Hello is not { } hello)
            throw new ClusterException(ErrorCode.InvalidArgument, "an SPU begins with its hello");

        SpuInfo info = Check(hello, GuardInterceptor.CallerOf(context), _sc.Spus.Topology?.Term ?? 0);
        await _sc.EnsureBelievedAsync(info.Id, hello.Instance, hello.Term).ConfigureAwait(false);
        RegisteredSpu spu = _sc.Spus.Register(info, hello.Instance, hello.SoftwareVersion);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(stop.Token);
        bool hasSaidSo = false;
        logger.LogInformation("SPU {Id} is there, at {Endpoints}", info.Id, string.Join(", ", info.Endpoints));
        try
        {
            // It tells all of them, and the process before it may have had others.
            presence.ForgetSpu(info.Id);
            Note(spu, requestStream.Current);
            await _sc.Controller.SaveSpuAsync(info).ConfigureAwait(false);
            Task telling = TellAsync(responseStream, ended.Token);
            Task<bool> listening = ListenAsync(requestStream, spu, ended.Token);
            Task first = await Task.WhenAny(telling, listening, spu.Replaced).ConfigureAwait(false);
            await ended.CancelAsync().ConfigureAwait(false);
            await Task.WhenAll(telling, listening).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await first.ConfigureAwait(false);
            hasSaidSo = listening.IsCompletedSuccessfully;
            if (first == spu.Replaced)
                throw new ClusterException(ErrorCode.Unavailable, $"SPU {info.Id} has registered anew; this stream was its old one");
        }
        catch (OperationCanceledException) when (_sc.Ended.IsCancellationRequested)
        {
            throw new ClusterException(ErrorCode.Unavailable, "this SC is not the active one any more; ask the others");
        }
        finally
        {
            _sc.Spus.Leave(spu, hasSaidSo);
            if (hasSaidSo)
                presence.ForgetSpu(info.Id);

            logger.LogInformation("SPU {Id} {What}", info.Id, hasSaidSo ? "has stopped" : "has lost its connection to this SC");
        }
    }

    public override async Task<V1.EnsureMirrorPartitionResponse> EnsureMirrorPartition(V1.EnsureMirrorPartitionRequest request, ServerCallContext context)
    {
        PartitionId id = await _sc.Controller
            .EnsureMirrorPartitionAsync(request.Topic, Names.CheckGeoLocation(request.GeoLocation), IdOf(GuardInterceptor.CallerOf(context)))
            .ConfigureAwait(false);
        return new V1.EnsureMirrorPartitionResponse { Partition = id.Partition };
    }

    public override async Task<V1.EnsureGeoLocationResponse> EnsureGeoLocation(V1.EnsureGeoLocationRequest request, ServerCallContext context)
    {
        await _sc.Controller.EnsureGeoLocationAsync(Names.CheckGeoLocation(request.GeoLocation)).ConfigureAwait(false);
        return new V1.EnsureGeoLocationResponse();
    }

    /// <summary>What it says of itself, which its certificate must bear out.</summary>
    private static SpuInfo Check(V1.SpuHello hello, CallerIdentity caller, long term)
    {
        if (caller.Role != CallerRole.Local && IdOf(caller) != hello.Id)
        {
            throw new ClusterException(
                ErrorCode.PermissionDenied, $"the certificate is that of '{caller.Name}', and the SPU says that it is SPU {hello.Id}; one certificate is for one SPU");
        }

        if (hello.Id < 0 || hello.Zone.Length > MaxZoneLength || hello.Instance.Length is 0 or > MaxZoneLength || hello.Endpoints.Count is 0 or > MaxEndpoints)
            throw new ClusterException(ErrorCode.InvalidArgument, "an SPU has an id from 0 on, 1 to 8 endpoints, and a zone of 64 characters at most");

        // Terms of SCs go on above the highest that was believed, and who was told of those has to come back.
        if (hello.Term < 0 || hello.Term > Math.Max(HighestNumber, term))
            throw new ClusterException(ErrorCode.InvalidArgument, $"no SC has had the term {hello.Term}, which the SPU says that one had; start the SPU anew");

        if (hello.SoftwareVersion.Length > MaxWordLength || hello.Endpoints.Any(endpoint => endpoint.Length > MaxWordLength))
            throw new ClusterException(ErrorCode.InvalidArgument, $"an SPU's endpoints and version have {MaxWordLength} characters at most");

        foreach (string endpoint in hello.Endpoints)
        {
            if (!Uri.TryCreate(endpoint, UriKind.Absolute, out Uri? address) || address.Scheme != Uri.UriSchemeHttps)
                throw new ClusterException(ErrorCode.InvalidArgument, $"'{endpoint}' is no endpoint of an SPU; write https://host:port");
        }

        return new SpuInfo(hello.Id, [.. hello.Endpoints], hello.Zone.Length > 0 ? hello.Zone : null);
    }

    private static int IdOf(CallerIdentity caller) => SpuNames.Parse(caller.Name) ?? PartitionInfo.NoLeader;

    /// <summary>The topology where it has changed, and how the SPUs are where that has.</summary>
    private async Task TellAsync(IServerStreamWriter<V1.SpuUpdate> responses, CancellationToken cancellationToken)
    {
        long told = 0;
        V1.Spu[] toldSpus = [];
        while (true)
        {
            Task changed = _sc.Spus.Changed;
            if (_sc.Spus.Topology is { } newest)
            {
                V1.Spu[] spus = [.. newest.Map.Spus.Select(spu => TopologyMessages.ToMessage(spu, _sc.Spus.StatusOf(spu.Id)))];
                if (newest.Version != told || !spus.SequenceEqual(toldSpus))
                {
                    var update = new V1.SpuUpdate { Spus = { spus } };
                    bool isNewMap = newest.Version != told;
                    if (isNewMap)
                        update.Topology = newest.Message;

                    (told, toldSpus) = (newest.Version, spus);
                    await responses.WriteAsync(update, cancellationToken).ConfigureAwait(false);
                    if (isNewMap)
                        await Task.Delay(TimeSpan.FromSeconds(newest.Bytes / BytesPerSecond), time, cancellationToken).ConfigureAwait(false);
                }
            }

            await changed.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Completes with true where the SPU says that it stops.</summary>
    private async Task<bool> ListenAsync(IAsyncStreamReader<V1.SpuReport> requests, RegisteredSpu spu, CancellationToken cancellationToken)
    {
        while (await requests.MoveNext(cancellationToken).ConfigureAwait(false))
            Note(spu, requests.Current);

        return true;
    }

    private void Note(RegisteredSpu spu, V1.SpuReport report)
    {
        _sc.Spus.Report(
            spu, report.AppliedVersion, report.NatsServer.Length <= MaxWordLength ? report.NatsServer : "", report.Leaving,
            report.Problem.Length <= MaxProblemLength ? report.Problem : report.Problem[..MaxProblemLength],
            [.. report.Overtaken.Take(OvertakenPartition.MostAtOnce).Select(TopologyMessages.FromMessage).Where(one => one.Found <= HighestNumber)]);

        // A name that nobody knows would stay for ever.
        foreach (V1.GeoLocation seen in report.GeoLocations.Where(seen => _sc.Controller.Current.GeoLocations.ContainsKey(seen.Name)))
            presence.NoteElsewhere(spu.Info.Id, seen);

        foreach (V1.Refusal refusal in report.Refusals)
            presence.Refusals.Note(refusal.GeoLocation, refusal.Reason, refusal.Address);
    }
}
