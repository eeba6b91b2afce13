using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Groups;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Mirror.Hub;
using NodeStatus = EdgeStream.Protocol.V1.NodeStatus;

namespace EdgeStream.Agent.Hosting.DataCenter;

/// <summary>An SC of a cluster: the active one, or one that stands by to take over.</summary>
internal sealed class ScNode : Node
{
    private ScNode(NodeOptions options, DataDirectory data, NodeStorage storage, CertificateAuthority authority, ClusterOptions cluster, string endpoint, ILoggerFactory loggers)
        : base(options, data, storage, loggers)
    {
        Authority = authority;
        Role = new ScRole(options, cluster, data.Path, authority, Presence, endpoint, loggers);
    }

    public CertificateAuthority Authority { get; }

    public ScRole Role { get; }

    public override IClusterView Cluster => Role;

    /// <summary>It has none.</summary>
    public override IReadOnlyList<Partition> Partitions => [];

    /// <summary>It coordinates none.</summary>
    public override IReadOnlyList<GroupShare> GroupShares => [];

    public override string Kind => "sc";

    public override string Standing => Role.IsActive ? $"active, {Online} of {Role.Current.Spus.Length} SPUs" : Role.State;

    public override void Describe(Protocol.V1.NodeStatus status)
    {
        status.ScActive = Role.IsActive;
        if (Role.IsActive)
            (status.SpusOnline, status.SpusKnown) = (Online, Role.Current.Spus.Length);
    }

    /// <summary>Its own, and those of the SPUs while it is the active one.</summary>
    public override IEnumerable<string> Problems => [.. Role.Problem is { } problem ? [problem] : Array.Empty<string>(), .. Role.SpuProblems];

    private int Online => Role.Current.Spus.Count(spu => Role.StatusOf(spu.Id).Online);

    public static async Task RunAsync(NodeOptions options, ClusterOptions cluster, CancellationToken cancellationToken)
    {
        using ILoggerFactory loggers = NodeLogging.CreateFactory();
        await using ScNode node = Open(options, cluster, loggers);
        using X509Certificate2 certificate = ServerCertificate.Create(node.Authority);

        WebApplicationBuilder builder = node.CreateApplication(node.Role.Rights);
        ListenOnNetwork(builder, options.Listen!, certificate);
        builder.Services.AddSingleton(new AgentService(node, TimeProvider.System));
        await using WebApplication application = builder.Build();
        application.MapGrpcService<ControlPlaneService>();
        application.MapGrpcService<SpuControlService>();
        application.MapGrpcService<EnrolmentService>();
        application.MapGrpcService<LocateService>();
        application.MapGrpcService<AgentService>();
        await node.ServeAsync(application, StartAsync, node.Role.StopAsync, cancellationToken).ConfigureAwait(false);

        Task StartAsync()
        {
            node.Role.Start();
            return Task.CompletedTask;
        }
    }

    /// <summary>Those that are there while it is the active one, asked for at each call.</summary>
    protected override void AddParts(IServiceCollection services)
    {
        services.AddSingleton<IClusterView>(Role);
        services.AddSingleton(Role.Rights);
        services.AddSingleton(Role.Homes);
        services.AddSingleton(Authority);
        services.AddSingleton(new Accessor<ScActivity>(() => Role.Require().Sc));
        services.AddSingleton(new Accessor<StreamController>(() => Role.Require().Sc.Controller));
        services.AddSingleton(new Accessor<HubAuthority>(() => Role.Require().Authority));
        services.AddSingleton(new Accessor<IHubAuthority>(() => Role.Require().Authority));
    }

    protected override ValueTask DisposePartsAsync() => Role.DisposeAsync();

    protected override ValueTask DisposeLogAsync()
    {
        Authority.Dispose();
        return ValueTask.CompletedTask;
    }

    private static ScNode Open(NodeOptions options, ClusterOptions cluster, ILoggerFactory loggers)
    {
        DataDirectory data = DataDirectory.Open(options.Data);
        CertificateAuthority? authority = null;
        try
        {
            options = options with { JetStream = options.JetStream! with { ClientName = $"edgestream SC {Environment.MachineName}" } };
            NodeStorage storage = NodeStorage.Open(data.Path, options.Budget);
            authority = CertificateAuthority.Open(data.Path, TimeProvider.System);
            return new ScNode(options, data, storage, authority, cluster, AdvertisedEndpoint.Of(cluster, options.Listen!), loggers);
        }
        catch
        {
            authority?.Dispose();
            data.Dispose();
            throw;
        }
    }
}
