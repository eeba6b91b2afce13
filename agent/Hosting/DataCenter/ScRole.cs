using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Engines.JetStream;
using EdgeStream.Cluster.Metadata.JetStream;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Mirror.Hub;
using EdgeStream.Storage;
using ErrorCode = EdgeStream.Protocol.V1.ErrorCode;

namespace EdgeStream.Agent.Hosting.DataCenter;

/// <summary>
/// Makes an SC the active one of its cluster whenever the lease is free, and ends that when the lease may be lost. What it serves as the
/// active one it has only then; of the cluster it knows nothing while it stands by. Safe from any thread.
/// </summary>
internal sealed class ScRole : IClusterView, IAsyncDisposable
{
    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(1);

    private readonly NodeOptions _options;
    private readonly ClusterOptions _cluster;
    private readonly string _dataDirectory;
    private readonly CertificateAuthority _authority;
    private readonly GeoLocationPresence _presence;
    private readonly ActiveSc _self;
    private readonly ILoggerFactory _loggers;
    private readonly ILogger _logger;
    private readonly ScLease _lease;
    private readonly X509Certificate2 _trusted;
    private readonly CancellationTokenSource _stop = new();
    private volatile Activity? _active;

    // Until this SC has been the active one: what is lost later is another loss.
    private bool _acceptsLoss;
    private long _written;
    private volatile string? _unfit;
    private volatile string? _problem;
    private Task _running = Task.CompletedTask;

    /// <summary>All that an SC has while it is the active one.</summary>
    public sealed record Activity(ScActivity Sc, HubAuthority Authority);

    /// <param name="options">Where NATS is.</param>
    /// <param name="cluster">Which cluster.</param>
    /// <param name="dataDirectory">This SC's own.</param>
    /// <param name="authority">The CA; stays the caller's.</param>
    /// <param name="presence">Told whose links SPUs have.</param>
    /// <param name="endpoint">Where others reach this SC.</param>
    /// <param name="loggers">Stays the caller's.</param>
    public ScRole(
        NodeOptions options, ClusterOptions cluster, string dataDirectory, CertificateAuthority authority, GeoLocationPresence presence,
        string endpoint, ILoggerFactory loggers)
    {
        (_options, _cluster, _dataDirectory, _authority, _presence, _loggers) = (options, cluster, dataDirectory, authority, presence, loggers);
        _acceptsLoss = cluster.AcceptsLoss;
        _logger = loggers.CreateLogger<ScRole>();
        _self = new ActiveSc(Environment.MachineName, [endpoint]);
        _lease = new ScLease(options.JetStream!, cluster.Name, _self, loggers.CreateLogger<ScLease>());
        _trusted = authority.Certificate;
        Rights = new GeoLocationRights(_trusted, authority.Withdrawn.ReasonOf, this, TimeProvider.System, metadataDecides: true);
        Homes = new GeoLocationHomes(this, spu: null, controllers: [endpoint]);
    }

    public GeoLocationRights Rights { get; }

    public GeoLocationHomes Homes { get; }

    /// <summary>What keeps this SC from becoming the active one, or may keep it from staying it, in one line; null while nothing does.</summary>
    public string? Problem => _active is not null ? _lease.Problem : _unfit ?? _lease.Problem ?? (Other is null ? _problem : null);

    /// <summary>Whether it is the active one.</summary>
    public bool IsActive => _active is not null;

    /// <summary>What is wrong with the SPUs, in a line each, as the active SC sees it; nothing while this one stands by.</summary>
    public IReadOnlyList<string> SpuProblems => _active is { } active ? active.Sc.Spus.ProblemsOf(active.Sc.Controller.Current) : [];

    /// <summary>In a few words.</summary>
    public string State => _active is not null ? "active"
        : Other is { } other ? $"stands by; the active one is {NameOf(other)}"
        : Problem is null ? "stands by; there is no active one" : "stands by; which one is active is not known";

    /// <inheritdoc/>
    public TopologyMap Current => _active?.Sc.Controller.Current ?? TopologyMap.Unknown;

    /// <inheritdoc/>
    public bool IsHub => true;

    /// <summary>Nobody here keeps anything of topics.</summary>
    public event Func<string, Task>? TopicDeleted
    {
        add { }
        remove { }
    }

    /// <inheritdoc/>
    public Task WaitForChangeAsync(TopologyMap known, CancellationToken cancellationToken) => Require().Sc.Controller.WaitForChangeAsync(known, cancellationToken);

    /// <inheritdoc/>
    public SpuStatus StatusOf(int spu) => _active?.Sc.Spus.StatusOf(spu) ?? new SpuStatus(Online: false);

    /// <inheritdoc/>
    public Partition GetPartition(string topicName, int number) => Require().Sc.Controller.GetPartition(topicName, number);

    /// <summary>What only the active SC has.</summary>
    /// <exception cref="ClusterException">This one stands by.</exception>
    public Activity Require() => _active ?? throw new ClusterException(ErrorCode.Unavailable, Other is { } other
        ? $"this SC stands by; the active one is {NameOf(other)}"
        : $"this SC stands by, and there is no active one at the moment{(Problem is { } problem ? $": {problem}" : "; try again")}");

    /// <summary>The active one, where that is not this one, as far as it is known; not where the lease may have gone to another since.</summary>
    private ActiveSc? Other =>
        _lease.Problem is null && _lease.Active is { } active && !(active.Name == _self.Name && active.Endpoints.SequenceEqual(_self.Endpoints)) ? active : null;

    public void Start() => _running = Task.Run(RunAsync);

    /// <summary>Gives the lease back: another takes over at once. Who still calls is sent there.</summary>
    public async Task StopAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _running.ConfigureAwait(false);
    }

    /// <summary>Once nobody calls any more.</summary>
    public async ValueTask DisposeAsync()
    {
        await StopAsync().ConfigureAwait(false);
        await _lease.DisposeAsync().ConfigureAwait(false);
        _trusted.Dispose();
        _stop.Dispose();
    }

    private static string NameOf(ActiveSc sc) => $"{sc.Name} at {string.Join(", ", sc.Endpoints)}";

    /// <summary>Never fails: what cannot be now, is tried again.</summary>
    private async Task RunAsync()
    {
        string? told = null;
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                await CheckFitAsync().ConfigureAwait(false);
                await using ScTerm term = await _lease.WaitAsync(_stop.Token).ConfigureAwait(false);
                using var ended = CancellationTokenSource.CreateLinkedTokenSource(term.Lost, _stop.Token);
                await ServeAsync(ended.Token).ConfigureAwait(false);
                told = null;
            }
            catch (OperationCanceledException) when (_stop.IsCancellationRequested)
            {
                return;
            }
            catch (Exception error)
            {
                string problem = ProblemOf(error);
                if (told != problem)
                    _logger.LogError("this SC cannot be the active one now: {Problem}; it is tried again", problem);

                (told, _problem) = (problem, problem);
                await Task.Delay(RetryAfter, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    /// <summary>One that could not take over says so while it stands by, not only when it should.</summary>
    private async Task CheckFitAsync()
    {
        try
        {
            CheckAuthority(await JetStreamTopologyStore
                .FindAuthorityAsync(_options.JetStream!, _cluster.Name, _loggers.CreateLogger<JetStreamTopologyStore>()).ConfigureAwait(false));
            _unfit = null;
        }
        catch (Exception error)
        {
            _unfit = ProblemOf(error);
            throw;
        }
    }

    private static string ProblemOf(Exception error) =>
        error is EdgeStreamException or OperationCanceledException ? error.Message : $"unexpected {error.GetType().Name}: {error.Message}";

    /// <summary>Is the active SC until it is told to stop, or another has written.</summary>
    private async Task ServeAsync(CancellationToken cancellationToken)
    {
        JetStreamOptions nats = _options.JetStream!;
        await using JetStreamTopologyStore store = await JetStreamTopologyStore
            .OpenAsync(nats, _cluster.Name, _self.Name, _loggers.CreateLogger<JetStreamTopologyStore>(), _acceptsLoss, _written, cancellationToken)
            .ConfigureAwait(false);
        CheckAuthority(store.LoadAuthority());
        if (store.LoadAuthority() is null)
            await store.SaveAuthorityAsync(Convert.ToHexStringLower(_authority.Fingerprint)).ConfigureAwait(false);

        await using var state = new JetStreamSpuStateStore(nats, store.ClusterId, _loggers.CreateLogger<JetStreamSpuStateStore>());
        await using var engine = new JetStreamEngine(_dataDirectory, nats, _loggers.CreateLogger<JetStreamEngine>());
        var spus = new SpuRegistry(engine, state, store.LoadSpus(), TimeProvider.System, store.Term);
        var controller = new StreamController(store, spus);
        await engine.StartAsync(controller.Current).ConfigureAwait(false);
        await using ScActivity sc = await ScActivity
            .StartAsync(controller, spus, _presence, TimeProvider.System, _loggers.CreateLogger<ScActivity>())
            .ConfigureAwait(false);
        using var hub = new HubAuthority(_authority, Rights, controller, store, state, _options.CertificateLife, TimeProvider.System);
        _active = new Activity(sc, hub);
        _problem = null;
        _logger.LogInformation("this SC is the active one");
        if (_acceptsLoss)
            _logger.LogWarning("it was started with --accept-metadata, which has done its work; start it without from now on, or the next loss is accepted unseen");

        _acceptsLoss = false;
        try
        {
            using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, store.Superseded);
            await Task.Delay(Timeout.Infinite, over.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        finally
        {
            (_active, _written) = (null, store.Written);
            _logger.LogInformation("this SC stands by");
        }
    }

    /// <summary>All SCs of a cluster have the same CA: with another one no SPU, edge or client would take it for theirs, nor it them.</summary>
    private void CheckAuthority(string? known)
    {
        if (known is not null && known != Convert.ToHexStringLower(_authority.Fingerprint))
        {
            throw new EdgeStreamException(
                $"the CA in '{Path.Combine(_dataDirectory, "ca")}' is not that of the cluster '{_cluster.Name}'; copy the directory of another SC of it there, and start this one again");
        }
    }
}
