using System.Threading.Channels;
using EdgeStream.Client;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage;
using Grpc.Core;
using Grpc.Net.Client;
using ErrorCode = EdgeStream.Protocol.V1.ErrorCode;

namespace EdgeStream.Agent.Hosting.DataCenter;

/// <summary>
/// Keeps an SPU registered with the SC that is active, whichever of several that is: reports to it, and has the SPU serve what it is told.
/// While there is none, the SPU goes on with what it was told last. Safe from any thread.
/// </summary>
internal sealed class ScLink(
    SpuInfo self, IReadOnlyList<string> controllers, SpuIdentity identity, SpuView view, Func<string?> natsServer, GeoLocationPresence presence,
    ILogger<ScLink> logger) : IMirrorPartitions, IAsyncDisposable
{
    // Reports, between two that say what has become of geo-locations.
    private const int ReportsPerPresence = 5;

    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(2);

    // An SC that is frozen says nothing; the others are asked then.
    private static readonly TimeSpan FirstAnswer = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(10);

    private readonly string _instance = Guid.NewGuid().ToString("N");
    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource _served = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile SpuControl.SpuControlClient? _active;
    private volatile string? _problem = "no SC has answered yet";
    private Task _running = Task.CompletedTask;

    /// <summary>Why there is no SC, in one line; null while there is one. What is served is served all the same.</summary>
    public string? Problem => _problem;

    /// <summary>Completes once a first topology is served.</summary>
    public Task Served => _served.Task;

    public void Start() => _running = Task.Run(RunAsync);

    /// <inheritdoc/>
    public async Task<PartitionId> EnsureMirrorPartitionAsync(string topicName, string geoLocation)
    {
        if (Find(topicName, geoLocation) is { } known)
            return known;

        await AskAsync(sc => sc.EnsureMirrorPartitionAsync(
            new EnsureMirrorPartitionRequest { Topic = topicName, GeoLocation = geoLocation }, deadline: DateTime.UtcNow + CallTimeout)).ConfigureAwait(false);
        await WaitForAsync(() => Find(topicName, geoLocation) is not null).ConfigureAwait(false);
        return Find(topicName, geoLocation)!.Value;
    }

    /// <inheritdoc/>
    public async Task EnsureGeoLocationAsync(string geoLocation)
    {
        if (view.Current.GeoLocations.ContainsKey(geoLocation))
            return;

        await AskAsync(sc => sc.EnsureGeoLocationAsync(
            new EnsureGeoLocationRequest { GeoLocation = geoLocation }, deadline: DateTime.UtcNow + CallTimeout)).ConfigureAwait(false);
        await WaitForAsync(() => view.Current.GeoLocations.ContainsKey(geoLocation)).ConfigureAwait(false);
    }

    /// <summary>Tells the SC that the SPU stops, so that others get its partitions at once.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _running.ConfigureAwait(false);
        _stop.Dispose();
    }

    private PartitionId? Find(string topic, string geoLocation) =>
        view.Current.Topics.GetValueOrDefault(topic) is { Settings.Mirror: true } known && known.PartitionOf(geoLocation) is { } partition
            ? new PartitionId(topic, partition.Number)
            : null;

    private async Task AskAsync<T>(Func<SpuControl.SpuControlClient, AsyncUnaryCall<T>> question)
    {
        SpuControl.SpuControlClient sc = _active
            ?? throw new ClusterException(ErrorCode.Unavailable, "there is no SC now, which this waits for; what is known already goes on without");
        try
        {
            await question(sc).ConfigureAwait(false);
        }
        catch (RpcException error)
        {
            ClientException refusal = ClientException.From(error, "the SC");
            throw new ClusterException(refusal.Code, refusal.Message);
        }
    }

    private async Task WaitForAsync(Func<bool> condition)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        limit.CancelAfter(CallTimeout);
        try
        {
            for (TopologyMap known = view.Current; !condition(); known = view.Current)
                await view.WaitForChangeAsync(known, limit.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            throw new ClusterException(ErrorCode.Unavailable, "the SC has changed the topology, and this SPU was not told in time; try again");
        }
    }

    /// <summary>One SC after the other, until it is told to stop. Never fails.</summary>
    private async Task RunAsync()
    {
        var options = new ClientOptions { Endpoints = controllers, Certificate = identity.Certificate, Authority = identity.Authority };
        TimeSpan pause = FirstPause;
        for (int next = Random.Shared.Next(controllers.Count); !_stop.IsCancellationRequested; next = (next + 1) % controllers.Count)
        {
            bool registered = false;
            try
            {
                using GrpcChannel channel = EndpointChannel.Open(controllers[next], options);
                using var session = new Session(this, new SpuControl.SpuControlClient(channel));
                await session.RunAsync(() => registered = true, _stop.Token).ConfigureAwait(false);
            }
            catch (Exception error) when (!_stop.IsCancellationRequested)
            {
                Report(controllers[next], error);
            }
            catch (Exception)
            {
                return;
            }
            finally
            {
                _active = null;
            }

            if (registered)
                pause = FirstPause;

            await Task.Delay(pause * (0.5 + (Random.Shared.NextDouble() / 2)), _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
        }
    }

    private void Report(string controller, Exception error)
    {
        string problem = error switch
        {
            RpcException rpc => ClientException.From(rpc, controller).Message,
            EdgeStreamException known => known.Message,
            OperationCanceledException => $"no answer from {controller}",
            _ => $"unexpected {error.GetType().Name}: {error.Message}",
        };
        if (_problem is null || (_problem != problem && controllers.Count == 1))
            logger.LogWarning("no SC: {Problem}; what was told goes on, and the SCs are asked again", problem);

        _problem = problem;
    }

    private void Registered(string problemBefore)
    {
        if (problemBefore.Length > 0)
            logger.LogInformation("registered with the active SC as SPU {Id}", self.Id);

        _problem = null;
    }

    /// <summary>One stream to one SC.</summary>
    private sealed class Session(ScLink link, SpuControl.SpuControlClient client) : IDisposable
    {
        private readonly Channel<SpuUpdate> _newest = Channel.CreateBounded<SpuUpdate>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropOldest });
        private readonly SemaphoreSlim _news = new(0);
        private readonly Dictionary<string, GeoLocation> _told = new(StringComparer.Ordinal);
        private readonly Dictionary<string, long> _refused = new(StringComparer.Ordinal);
        private long _applied;

        public async Task RunAsync(Action registered, CancellationToken stopping)
        {
            // Not the token of the stop: the SC is told, so that it need not wait for silence.
            using var end = new CancellationTokenSource();
            using AsyncDuplexStreamingCall<SpuReport, SpuUpdate> call = client.Register(cancellationToken: end.Token);
            using var over = CancellationTokenSource.CreateLinkedTokenSource(stopping);
            Task[] tasks = [ReadAsync(call, registered, over.Token), ApplyAsync(over.Token), ReportAsync(call, over.Token)];
            Task first = await Task.WhenAny(tasks).ConfigureAwait(false);
            await over.CancelAsync().ConfigureAwait(false);
            await tasks[2].ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (stopping.IsCancellationRequested)
                await LeaveAsync(call).ConfigureAwait(false);

            await end.CancelAsync().ConfigureAwait(false);
            await Task.WhenAll(tasks).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await first.ConfigureAwait(false);
            throw new ClusterException(ErrorCode.Unavailable, "the SC has ended the stream");
        }

        public void Dispose() => _news.Dispose();

        private static async Task LeaveAsync(AsyncDuplexStreamingCall<SpuReport, SpuUpdate> call)
        {
            try
            {
                await call.RequestStream.CompleteAsync().WaitAsync(TimeSpan.FromSeconds(1)).ConfigureAwait(false);
            }
            catch (Exception error) when (error is RpcException or InvalidOperationException or IOException or TimeoutException)
            {
                // It is gone, or finds out by the silence.
            }
        }

        private async Task ReadAsync(AsyncDuplexStreamingCall<SpuReport, SpuUpdate> call, Action registered, CancellationToken cancellationToken)
        {
            bool first = true;
            while (await MoveNextAsync(call, first, cancellationToken).ConfigureAwait(false))
            {
                SpuUpdate update = call.ResponseStream.Current;
                if (first)
                {
                    registered();
                    link._active = client;
                    link.Registered(link._problem ?? "");
                }

                first = false;
                link.View.Note(update.Spus.Select(spu => KeyValuePair.Create(spu.Id, TopologyMessages.FromMessage(spu))));
                if (update.Topology is not null)
                    _newest.Writer.TryWrite(update);
            }
        }

        private static async Task<bool> MoveNextAsync(AsyncDuplexStreamingCall<SpuReport, SpuUpdate> call, bool first, CancellationToken cancellationToken)
        {
            Task<bool> next = call.ResponseStream.MoveNext(cancellationToken);
            return await (first ? next.WaitAsync(FirstAnswer, cancellationToken) : next).ConfigureAwait(false);
        }

        /// <summary>The newest only: of those in between nobody knows.</summary>
        private async Task ApplyAsync(CancellationToken cancellationToken)
        {
            await foreach (SpuUpdate update in _newest.Reader.ReadAllAsync(cancellationToken).ConfigureAwait(false))
            {
                TopologyMap topology = StoredMessages.FromMessage(update.Topology);
                if (link.CurrentCluster is { Length: > 0 } mine && mine != topology.ClusterId)
                    throw new ClusterException(ErrorCode.InvalidArgument, $"that SC is of the cluster {topology.ClusterId}, and this SPU of {mine}; correct cluster.sc, or start it anew");

                await link.ApplyAsync(topology).ConfigureAwait(false);
                Volatile.Write(ref _applied, update.Topology.Version);
                _news.Release();
            }
        }

        private async Task ReportAsync(AsyncDuplexStreamingCall<SpuReport, SpuUpdate> call, CancellationToken cancellationToken)
        {
            var hello = new SpuHello
            {
                Id = link.Self.Id,
                Endpoints = { link.Self.Endpoints },
                Zone = link.Self.Zone ?? "",
                SoftwareVersion = BuildInfo.Version,
                Instance = link._instance,
            };
            for (int report = 0; ; report++)
            {
                await call.RequestStream.WriteAsync(Report(report == 0 ? hello : null, report % ReportsPerPresence == 0), cancellationToken).ConfigureAwait(false);

                // At once where the topology is served: somebody waits for that.
                await _news.WaitAsync(SpuRegistry.ReportInterval, cancellationToken).ConfigureAwait(false);
            }
        }

        private SpuReport Report(SpuHello? hello, bool withPresence)
        {
            var report = new SpuReport { Hello = hello, AppliedVersion = Volatile.Read(ref _applied), NatsServer = link.NatsServer ?? "" };
            if (!withPresence)
                return report;

            foreach (string name in link.Presence.Known)
            {
                if (link.View.Current.GeoLocations.GetValueOrDefault(name) is not { } geo)
                    continue;

                GeoLocation seen = TopologyMessages.ToMessage(geo, link.Presence);
                if (_told.TryGetValue(name, out GeoLocation? told) && told.Equals(seen))
                    continue;

                report.GeoLocations.Add(_told[name] = seen);
            }

            foreach (GeoLocationRefusal refusal in link.Presence.Refusals.Shown.Where(refusal => _refused.GetValueOrDefault(refusal.GeoLocation) != refusal.Count))
            {
                _refused[refusal.GeoLocation] = refusal.Count;
                report.Refusals.Add(TopologyMessages.ToMessage(refusal));
            }

            return report;
        }
    }

    private SpuInfo Self => self;

    private SpuView View => view;

    private GeoLocationPresence Presence => presence;

    private string? NatsServer => natsServer();

    private string CurrentCluster => view.Current.ClusterId;

    private async Task ApplyAsync(TopologyMap topology)
    {
        await view.ApplyAsync(topology).ConfigureAwait(false);
        _served.TrySetResult();
    }
}
