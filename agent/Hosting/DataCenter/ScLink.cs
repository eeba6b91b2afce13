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

    // How long one that stops waits for others to have what it leads, and then for the SC to take note that it is gone.
    private static readonly TimeSpan HandOverPatience = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan LeavePatience = TimeSpan.FromSeconds(1);

    private readonly string _instance = Guid.NewGuid().ToString("N");
    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource _served = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Dictionary<string, string> _answers = new(StringComparer.Ordinal);
    private volatile SpuControl.SpuControlClient? _active;
    private volatile string? _problem = "no SC has answered yet";
    private volatile string? _controller;
    private string? _told;

    // The newest topology that was taken from any SC. For one stream at a time.
    private (string Cluster, long Term, long Version) _newest = ("", 0, 0);
    private Task _running = Task.CompletedTask;

    /// <summary>Why there is no SC, in one line; null while there is one. What is served is served all the same.</summary>
    public string? Problem => _problem;

    /// <summary>The SC with which the SPU is registered; null while it is with none.</summary>
    public string? Controller => _controller;

    /// <summary>Finds what is wrong with the SPU, in one line, for the SC to show; null while nothing is. Asked once a second.</summary>
    public Func<string?> FindProblem { get; init; } = () => null;

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

    /// <summary>
    /// Has the SC give to others what this SPU leads, and takes its leave. On return others lead it, as far as there are any and that was
    /// possible within a few seconds; what is asked of this SPU from then on is answered with where it is.
    /// </summary>
    public async Task StopAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _running.ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync().ConfigureAwait(false);
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
        catch (ObjectDisposedException)
        {
            throw new ClusterException(ErrorCode.Unavailable, "the connection to the SC was lost; try again");
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
            string controller = controllers[next];
            bool wasRegistered = false;
            try
            {
                using GrpcChannel channel = EndpointChannel.Open(controller, options);
                using var session = new Session(this, new SpuControl.SpuControlClient(channel), controller);
                await session.RunAsync(_stop.Token).ConfigureAwait(false);
            }
            catch (Exception error)
            {
                wasRegistered = _controller is not null;
                if (!_stop.IsCancellationRequested)
                    Report(controller, error);

                if (error is RpcException refusal && ClientException.From(refusal, controller).Code == ErrorCode.SpuExists)
                    await LetGoAsync().ConfigureAwait(false);
            }
            finally
            {
                (_active, _controller) = (null, null);
            }

            pause = wasRegistered ? FirstPause : pause;
            await Task.Delay(pause * (0.5 + (Random.Shared.NextDouble() / 2)), _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
        }
    }

    /// <summary>Says so at once where there was an SC, and otherwise once all of them were asked and their answers are others than before.</summary>
    private void Report(string controller, Exception error)
    {
        bool isLost = _problem is null;
        _answers[controller] = error switch
        {
            RpcException rpc => ClientException.From(rpc, controller).Message,
            EdgeStreamException known => known.Message,
            OperationCanceledException or TimeoutException => $"no answer from {controller}",
            _ => $"unexpected {error.GetType().Name}: {error.Message}",
        };
        string problem = string.Join("; ", controllers.Select(one => _answers.GetValueOrDefault(one)).OfType<string>().Distinct());
        _problem = problem;
        if (problem == _told || (!isLost && controllers.Any(one => !_answers.ContainsKey(one))))
            return;

        logger.LogWarning("no SC: {Problem}; what was told goes on, and the SCs are asked again", problem);
        _told = problem;
    }

    /// <summary>
    /// Another process with this one's identity was told what this one was told before: nothing in NATS tells the two apart, and each would
    /// take the partitions from the other, again and again.
    /// </summary>
    private async Task LetGoAsync()
    {
        try
        {
            if (await view.LetGoAsync().ConfigureAwait(false))
                logger.LogError("another process is registered as SPU {Id}; what it led is closed here, until that one is gone", self.Id);
        }
        catch (Exception error)
        {
            logger.LogError("another process is registered as SPU {Id}, and what it led cannot be closed here: {Problem}; it is tried again", self.Id, error.Message);
        }
    }

    private void Registered(SpuControl.SpuControlClient client, string controller)
    {
        logger.LogInformation("registered with the active SC at {Controller} as SPU {Id}", controller, self.Id);
        (_active, _controller, _problem, _told) = (client, controller, null, null);
        _answers.Clear();
    }

    /// <summary>Whether others could have what this SPU leads, and have not yet.</summary>
    private bool HasToHandOver(TopologyMap topology) =>
        topology.Spus.Any(spu => spu.Id != self.Id && view.StatusOf(spu.Id).Online)
        && topology.Topics.Values.Any(topic => topic.Partitions.Any(partition => partition.LeaderSpu == self.Id));

    /// <summary>One stream to one SC.</summary>
    /// <remarks>A token that is cancelled ends the stream as a whole, so none is given to its reads and writes: the stop is said in it.</remarks>
    private sealed class Session(ScLink link, SpuControl.SpuControlClient client, string controller) : IDisposable
    {
        private readonly Channel<SpuUpdate> _newest = Channel.CreateBounded<SpuUpdate>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropOldest });
        private readonly SemaphoreSlim _news = new(0);
        private readonly Dictionary<string, GeoLocation> _seen = new(StringComparer.Ordinal);
        private readonly Dictionary<string, long> _refused = new(StringComparer.Ordinal);
        private volatile bool _isLeaving;
        private long _applied;

        /// <summary>Ends when it is told to stop, and fails when the stream ends before.</summary>
        public async Task RunAsync(CancellationToken stopping)
        {
            using var end = new CancellationTokenSource();
            using var over = new CancellationTokenSource();
            using AsyncDuplexStreamingCall<SpuReport, SpuUpdate> call = client.Register(cancellationToken: end.Token);
            Task reading = ReadAsync(call), applying = ApplyAsync(over.Token), reporting = ReportAsync(call, over.Token);
            try
            {
                Task<Task> broken = Task.WhenAny(reading, applying, reporting);
                await ((Task)broken).WaitAsync(stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                if (stopping.IsCancellationRequested)
                {
                    await HandOverAsync(broken).ConfigureAwait(false);
                    await over.CancelAsync().ConfigureAwait(false);
                    await LeaveAsync(call, reading, reporting).ConfigureAwait(false);
                    return;
                }

                Task first = await broken.ConfigureAwait(false);

                // A write fails as well where the SC has ended the call; why it has, only who reads is told.
                if (first == reporting && await Task.WhenAny(reading, Task.Delay(LeavePatience, CancellationToken.None)).ConfigureAwait(false) == reading)
                    first = reading;

                await first.ConfigureAwait(false);
                throw new ClusterException(ErrorCode.Unavailable, "the SC has ended the stream");
            }
            finally
            {
                await over.CancelAsync().ConfigureAwait(false);
                await end.CancelAsync().ConfigureAwait(false);
                await applying.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

                // A write of which the SC took only the beginning was seen not to end with its call; it does with its connection, which is the
                // caller's to close.
                await Task.WhenAll(reading, reporting).WaitAsync(LeavePatience, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }

        public void Dispose() => _news.Dispose();

        private async Task HandOverAsync(Task broken)
        {
            _isLeaving = true;
            _news.Release();
            using var limit = new CancellationTokenSource(HandOverPatience);
            for (TopologyMap known = link.View.Current; link.HasToHandOver(known) && !broken.IsCompleted && !limit.IsCancellationRequested; known = link.View.Current)
                await Task.WhenAny(broken, link.View.WaitForChangeAsync(known, limit.Token)).ConfigureAwait(false);
        }

        private static async Task LeaveAsync(AsyncDuplexStreamingCall<SpuReport, SpuUpdate> call, Task reading, Task reporting)
        {
            try
            {
                await reporting.WaitAsync(LeavePatience).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                await call.RequestStream.CompleteAsync().WaitAsync(LeavePatience).ConfigureAwait(false);

                // It ends its side once it has taken note.
                await reading.WaitAsync(LeavePatience).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (Exception error) when (error is RpcException or InvalidOperationException or IOException or TimeoutException)
            {
                // It is gone, or finds out by the silence.
            }
        }

        private async Task ReadAsync(AsyncDuplexStreamingCall<SpuReport, SpuUpdate> call)
        {
            bool isFirst = true;
            while (await MoveNextAsync(call, isFirst).ConfigureAwait(false))
            {
                SpuUpdate update = call.ResponseStream.Current;
                if (update.Topology is { } topology)
                    link.CheckFollows(topology);

                link.View.Note(update.Spus.Select(spu => KeyValuePair.Create(spu.Id, TopologyMessages.FromMessage(spu))));
                if (isFirst)
                    link.Registered(client, controller);

                isFirst = false;
                if (update.Topology is not null)
                    _newest.Writer.TryWrite(update);
            }
        }

        private static Task<bool> MoveNextAsync(AsyncDuplexStreamingCall<SpuReport, SpuUpdate> call, bool isFirst)
        {
            Task<bool> next = call.ResponseStream.MoveNext(CancellationToken.None);
            return isFirst ? next.WaitAsync(FirstAnswer) : next;
        }

        /// <summary>The newest only: of those in between nobody knows.</summary>
        private async Task ApplyAsync(CancellationToken cancellationToken)
        {
            await foreach (SpuUpdate update in _newest.Reader.ReadAllAsync(cancellationToken).ConfigureAwait(false))
            {
                await link.ApplyAsync(StoredMessages.FromMessage(update.Topology)).ConfigureAwait(false);
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
                Term = link._newest.Term,
            };
            for (int report = 0; ; report++)
            {
                await call.RequestStream.WriteAsync(Report(report == 0 ? hello : null, report % ReportsPerPresence == 0), CancellationToken.None).ConfigureAwait(false);

                // At once where the topology is served, or the SPU stops: somebody waits for that.
                await _news.WaitAsync(SpuRegistry.ReportInterval, cancellationToken).ConfigureAwait(false);
            }
        }

        private SpuReport Report(SpuHello? hello, bool withPresence)
        {
            var report = new SpuReport
            {
                Hello = hello,
                AppliedVersion = Volatile.Read(ref _applied),
                NatsServer = link.NatsServer ?? "",
                Leaving = _isLeaving,
                Problem = link.FindProblem() ?? "",
                Overtaken = { link.View.Overtaken.Select(TopologyMessages.ToMessage) },
            };
            if (!withPresence)
                return report;

            foreach (string name in link.Presence.Known)
            {
                if (link.View.Current.GeoLocations.GetValueOrDefault(name) is not { } geo)
                    continue;

                GeoLocation seen = TopologyMessages.ToMessage(geo, link.Presence);
                if (_seen.TryGetValue(name, out GeoLocation? told) && told.Equals(seen))
                    continue;

                report.GeoLocations.Add(_seen[name] = seen);
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

    /// <summary>
    /// Takes note of a topology that an SC has told, where it is none that was overtaken: an SC that does not know yet that another is the
    /// active one would have this SPU go back to what it told before.
    /// </summary>
    /// <exception cref="ClusterException">It is not to be served.</exception>
    private void CheckFollows(TopologyState topology)
    {
        if (view.Current.ClusterId is { Length: > 0 } mine && mine != topology.ClusterId)
            throw new ClusterException(ErrorCode.InvalidArgument, $"that SC is of the cluster {topology.ClusterId}, and this SPU of {mine}; correct cluster.sc, or start it anew");

        // An SC of a version that tells no term is believed.
        if (topology.Term > 0 && _newest.Cluster == topology.ClusterId && (topology.Term, topology.Version).CompareTo((_newest.Term, _newest.Version)) < 0)
        {
            throw new ClusterException(ErrorCode.Unavailable, "that SC tells what another has changed since, so it is not the active one any more");
        }

        _newest = (topology.ClusterId, topology.Term, topology.Version);
    }

    private async Task ApplyAsync(TopologyMap topology)
    {
        await view.ApplyAsync(topology).ConfigureAwait(false);
        _served.TrySetResult();
    }
}
