using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Groups;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Topology;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace EdgeStream.ClusterTesting;

/// <summary>Serves a node's gRPC services by Kestrel in this process.</summary>
public sealed class NodeServer : IAsyncDisposable
{
    private readonly WebApplication _application;

    private NodeServer(WebApplication application) => _application = application;

    /// <summary>The port of the one TCP endpoint.</summary>
    public int Port => new Uri(_application.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!
        .Addresses.Single(address => address.Contains("127.0.0.1", StringComparison.Ordinal))).Port;

    /// <param name="parts">The node.</param>
    /// <param name="listen">Where it listens.</param>
    /// <param name="services">What is needed besides the parts, <see cref="ICallerAuthenticator"/> at least.</param>
    /// <param name="map">Services beyond control and data plane.</param>
    public static Task<NodeServer> StartAsync(
        NodeParts parts, Action<KestrelServerOptions> listen, Action<IServiceCollection> services, Action<WebApplication>? map = null) => StartAsync(
        listen,
        collection =>
        {
            collection.AddSingleton(new Accessor<StreamController>(parts.Controller)).AddSingleton<IClusterView>(parts.Controller).AddSingleton<IMirrorPartitions>(parts.Controller);
            collection.AddSingleton(parts.Spu).AddSingleton(parts.Store).AddSingleton(new Accessor<GroupCoordinator>(parts.Groups));
            services(collection);
        },
        application =>
        {
            application.MapGrpcService<ControlPlaneService>();
            application.MapGrpcService<DataPlaneService>();
            application.MapGrpcService<ConsumerGroupsService>();
            map?.Invoke(application);
        });

    /// <summary>A process of a cluster that is no whole node.</summary>
    /// <param name="listen">Where it listens.</param>
    /// <param name="services">What its services need, <see cref="ICallerAuthenticator"/> at least.</param>
    /// <param name="map">All that it serves.</param>
    public static async Task<NodeServer> StartAsync(
        Action<KestrelServerOptions> listen, Action<IServiceCollection> services, Action<WebApplication> map)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration().ConfigureKestrel(listen);
        builder.Services.AddSingleton(TimeProvider.System).AddSingleton<GeoLocationPresence>();
        // As a node has these.
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(5));
        builder.Services.AddGuardedGrpc().AllowLargeMessages<DataPlaneService>().AllowLargeMessages<SpuControlService>();
        services(builder.Services);
        builder.Services.TryAddSingleton<IClusterView, UnknownCluster>();
        builder.Services.TryAddSingleton(new ReaderStreams(ReaderStreams.MostInDataCenter));
        WebApplication application = builder.Build();
        map(application);
        await application.StartAsync();
        return new NodeServer(application);
    }

    public T Get<T>()
        where T : notnull => _application.Services.GetRequiredService<T>();

    /// <summary>Stops as a service does when it is told to.</summary>
    public Task StopAsync() => _application.StopAsync();

    public async ValueTask DisposeAsync()
    {
        await _application.StopAsync();
        await _application.DisposeAsync();
    }
}
