using System.Net;
using System.Security.Authentication;
using EdgeStream.Agent.Configuration;
using EdgeStream.Agent.Hosting.Http;
using EdgeStream.Agent.Hosting.Systemd;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Engines;
using EdgeStream.Cluster.Engines.JetStream;
using EdgeStream.Cluster.Groups;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Hub;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using NodeStatus = EdgeStream.Protocol.V1.NodeStatus;

namespace EdgeStream.Agent.Hosting;

/// <summary>
/// What all kinds of nodes have in common: data directory, disk, and the API they serve. Opened in the order metadata, SPU, SC and closed in
/// the opposite one.
/// </summary>
internal abstract class Node : IAsyncDisposable
{
    // Sources and streams sync on pool threads; the pool's own growth (one a second or so) would be felt as stutter.
    private const int MinWorkerThreads = 16;

    // Longer than that of an edge, so that on an idle link only one side asks whether the other is there.
    private static readonly TimeSpan KeepAlive = TimeSpan.FromMinutes(3);

    // All calls end at once when the node stops; what remains are peers that do not answer any more. The web server's clock stops before
    // it waits for connections, so without a limit an HTTP/2 connection whose peer says nothing stays for the host's default of 30 s.
    private static readonly TimeSpan LetGoAfter = TimeSpan.FromSeconds(5);

    // By then a node that has only started has nothing more to do.
    private static readonly TimeSpan SettledAfter = TimeSpan.FromSeconds(5);

    // Without a bound, strangers could take all the memory. It is for each address where the node listens, so who fills one keeps nobody from the
    // others. In a data center: 5,000 edges with a connection each, as many again that were lost and that nobody has noticed yet (KeepAlive), and
    // clients. An edge serves programs of its own machine, and has little memory.
    private const int MaxConnectionsInDataCenter = 20_000;
    private const int MaxConnectionsAtEdge = 256;

    private HttpEndpoint? _http;
    private volatile bool _serving;

    /// <param name="options">Where it keeps its state and where it listens.</param>
    /// <param name="data">Becomes the node's.</param>
    /// <param name="storage">Becomes the node's.</param>
    /// <param name="loggers">Stays the caller's.</param>
    protected Node(NodeOptions options, DataDirectory data, NodeStorage storage, ILoggerFactory loggers)
    {
        ThreadPool.GetMinThreads(out _, out int io);
        ThreadPool.SetMinThreads(MinWorkerThreads, io);
        (Options, Data, Storage, Loggers) = (options, data, storage, loggers);
    }

    public NodeOptions Options { get; }

    public DataDirectory Data { get; }

    public NodeStorage Storage { get; }

    public GeoLocationPresence Presence { get; } = new(TimeProvider.System);

    public ILoggerFactory Loggers { get; }

    /// <summary>The cluster as it is seen here.</summary>
    public abstract IClusterView Cluster { get; }

    /// <summary>Those that are served here.</summary>
    public abstract IReadOnlyList<Partition> Partitions { get; }

    /// <summary>What groups have read that are coordinated here.</summary>
    public abstract IReadOnlyList<GroupShare> GroupShares { get; }

    /// <summary>Those whose links it knows.</summary>
    public virtual IEnumerable<GeoLocationInfo> GeoLocations => Cluster.Current.GeoLocations.Values;

    /// <summary>What it is: edge, hub, sc or spu.</summary>
    public abstract string Kind { get; }

    /// <summary>How it stands among others of its kind, in a few words; empty where it does not matter.</summary>
    public virtual string Standing => "";

    /// <summary>Writes into its status what only this kind has.</summary>
    public virtual void Describe(NodeStatus status)
    {
    }

    /// <summary>What makes this kind of node unhealthy, in a line each.</summary>
    public virtual IEnumerable<string> Problems => [];

    /// <summary>Whether all of it has started, and nothing of it stops yet.</summary>
    public bool IsServing => _serving;

    /// <summary>Where an SPU's partitions lie.</summary>
    protected static IPartitionEngine CreateEngine(NodeOptions options, DataDirectory data, NodeStorage storage, bool isHub, ILogger logger)
    {
        if (options.JetStream is not { } jetStream)
            return new SegmentEngine(new PartitionDirectories(data.Path), storage.LogOptions(isHub), logger, storage.Files, storage.Resources, isHub);

        if (JetStreamSupport.IsSupported)
            return new JetStreamEngine(data.Path, jetStream, logger, storage.Resources.Clock, isHub: isHub);

        throw new NotSupportedException("this build has no JetStream");
    }

    /// <summary>The web application of a node, with what all kinds serve.</summary>
    /// <exception cref="EdgeStreamException">The address chosen for HTTP cannot be had.</exception>
    public WebApplicationBuilder CreateApplication(ICallerAuthenticator authenticator)
    {
        // Empty: an appsettings.json that happens to lie where the program was started is none of its configuration, nor what the
        // environment says to other web servers.
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore();
        builder.Services.AddSingleton(Loggers);
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = LetGoAfter);
        SystemdService.AddTo(builder.Services);
        builder.Services.AddSingleton(Presence);
        AddParts(builder.Services);
        bool isEdge = Kind == "edge";
        builder.Services.AddSingleton(new ReaderStreams(isEdge ? ReaderStreams.MostAtEdge : ReaderStreams.MostInDataCenter));
        builder.Services.AddSingleton(TimeProvider.System);
        builder.Services.AddSingleton(authenticator);
        builder.Services.AddGuardedGrpc()
            .AllowLargeMessages<DataPlaneService>()
            .AllowLargeMessages<MirrorService>()
            .AllowLargeMessages<DownlinkService>()
            .AllowLargeMessages<LiveService>()
            .AllowLargeMessages<SpuControlService>()
            .AllowLargeMessages<AgentService>();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxConcurrentConnections = isEdge ? MaxConnectionsAtEdge : MaxConnectionsInDataCenter;
            kestrel.Limits.Http2.KeepAlivePingDelay = KeepAlive;

            // Enough to fill a link of 10 Mbit/s and 600 ms; what an edge sends is bounded by what the mirror grants it (HubFlow).
            kestrel.Limits.Http2.InitialStreamWindowSize = 2 * 1024 * 1024;
            kestrel.Limits.Http2.InitialConnectionWindowSize = 4 * 1024 * 1024;
            kestrel.Limits.MinRequestBodyDataRate = null; // a stream may be silent for days
            kestrel.Limits.MaxRequestBodySize = null; // and carry terabytes
            kestrel.ListenUnixSocket(Options.Socket, listen => listen.Protocols = HttpProtocols.Http2);
        });
        _http = HttpEndpoint.Open(Options.Http ?? HttpListen.Default, Options.Listen, Loggers.CreateLogger<Node>());
        _http?.AddTo(builder);
        return builder;
    }

    /// <summary>What whoever leads partitions in a data center serves: to clients, to edges, and on the local socket.</summary>
    public static void MapPartitionServices(WebApplication application)
    {
        application.MapGrpcService<ControlPlaneService>();
        application.MapGrpcService<DataPlaneService>();
        application.MapGrpcService<ConsumerGroupsService>();
        application.MapGrpcService<MirrorService>();
        application.MapGrpcService<DownlinkService>();
        application.MapGrpcService<LiveService>();
        application.MapGrpcService<AgentService>();
    }

    /// <summary>Adds the network API: TLS 1.3, with the client's certificate asked for but judged per call, so that a refusal has words.</summary>
    public static void ListenOnNetwork(
        WebApplicationBuilder builder, IPEndPoint endpoint, System.Security.Cryptography.X509Certificates.X509Certificate2 certificate) =>
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(endpoint, listen =>
        {
            listen.Protocols = HttpProtocols.Http2;
            listen.UseHttps(new HttpsConnectionAdapterOptions
            {
                ServerCertificate = certificate,
                SslProtocols = SslProtocols.Tls13,
                ClientCertificateMode = ClientCertificateMode.AllowCertificate,
                ClientCertificateValidation = (_, _, _) => true,
            });
        }));

    /// <summary>Serves until <paramref name="stopping"/>; <paramref name="started"/> runs once it listens.</summary>
    public async Task ServeAsync(WebApplication application, Func<Task> started, Func<Task> stopping, CancellationToken cancellationToken)
    {
        _http?.Serve(application, this, application.Services.GetRequiredService<AgentService>());
        LocalSocket.Prepare(Options.Socket);
        try
        {
            await application.StartAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (IOException error) when (error.InnerException is AddressInUseException)
        {
            throw new EdgeStreamException(
                $"{Options.Listen} is in use by another program; stop that one or choose another with --listen", error);
        }

        LocalSocket.Protect(Options.Socket);
        ILogger logger = Loggers.CreateLogger<Node>();
        logger.LogInformation("data in {Data}, socket {Socket}", Data.Path, Options.Socket);
        foreach (string address in application.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses)
        {
            if (!address.StartsWith("http://unix:", StringComparison.Ordinal))
                logger.LogInformation("listening on {Address}", address);
        }

        await started().ConfigureAwait(false);
        _serving = true;
        using var settled = new Timer(_ => GiveBackMemory(), null, SettledAfter, Timeout.InfiniteTimeSpan);
        var agent = application.Services.GetRequiredService<AgentService>();
        await using ServiceReport? report = ServiceReport.Start(application.Services, agent.Summary, BusyFor, logger);
        var stop = new TaskCompletionSource();
        using CancellationTokenRegistration told = cancellationToken.Register(() => stop.TrySetResult());
        using CancellationTokenRegistration signalled = application.Lifetime.ApplicationStopping.Register(() => stop.TrySetResult());
        await stop.Task.ConfigureAwait(false);
        _serving = false;
        logger.LogInformation("stopping");
        await stopping().ConfigureAwait(false);
        await application.StopAsync(CancellationToken.None).ConfigureAwait(false);
        Stopped("API");
    }

    /// <summary>Notes that a part of the node has stopped: which one a stop waits for is in the log.</summary>
    public void Stopped(string part) => Loggers.CreateLogger<Node>().LogInformation("stopped: {Part}", part);

    /// <summary>
    /// What only the start needed goes back to the system: a gateway may be idle for days, and then nothing else would collect it. All
    /// threads wait for it meanwhile, so the first readings go before.
    /// </summary>
    private static void GiveBackMemory() => GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);

    /// <summary>What its services are made of.</summary>
    protected abstract void AddParts(IServiceCollection services);

    /// <summary>Of all partitions' writes, how long the one has been going on that takes longest.</summary>
    private TimeSpan BusyFor() =>
        Partitions.Where(partition => partition.IsOpen).Select(partition => partition.Log.BusyFor).DefaultIfEmpty().Max();

    public async ValueTask DisposeAsync()
    {
        _http?.Dispose();
        await DisposePartsAsync().ConfigureAwait(false);
        await Storage.DisposeAsync().ConfigureAwait(false);
        await DisposeLogAsync().ConfigureAwait(false);
        Stopped("log");
        Data.Dispose();
    }

    /// <summary>What uses the log.</summary>
    protected abstract ValueTask DisposePartsAsync();

    /// <summary>The log, and what it was opened after.</summary>
    protected abstract ValueTask DisposeLogAsync();
}
