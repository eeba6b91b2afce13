using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Mirror.Bundles;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Mirror.Hub;

namespace EdgeStream.Agent.Hosting;

/// <summary>The data-center side: SC and SPU in one process, with the network API that edges join and mirror to.</summary>
internal static class HubNode
{
    public static async Task RunAsync(NodeOptions options, CancellationToken cancellationToken)
    {
        using ILoggerFactory loggers = NodeLogging.CreateFactory();
        await using OneProcessNode node = await OneProcessNode.OpenAsync(options, isHub: true, loggers).ConfigureAwait(false);
        using CertificateAuthority authority = CertificateAuthority.Open(node.Data.Path, TimeProvider.System);
        using X509Certificate2 trusted = authority.Certificate;
        var rights = new GeoLocationRights(trusted, authority.Withdrawn.ReasonOf, node.Controller, TimeProvider.System);
        using var hub = new HubAuthority(authority, rights, node.Controller, node.Store, node.Store, options.CertificateLife, TimeProvider.System);
        using X509Certificate2 certificate = ServerCertificate.Create(authority);

        WebApplicationBuilder builder = node.CreateApplication(rights);
        Node.ListenOnNetwork(builder, options.Listen!, certificate);
        builder.Services.AddSingleton(authority);
        builder.Services.AddSingleton(new Accessor<HubAuthority>(hub));
        builder.Services.AddSingleton(rights);
        builder.Services.AddSingleton(new GeoLocationHomes(node.Controller, node.Spu.Id, controllers: []));
        builder.Services.AddSingleton(new Accessor<IHubAuthority>(hub));
        var links = new HubLinks();
        var importer = new BundleImporter(node.Controller, node.Controller, rights, links, node.Data.Path);
        builder.Services.AddSingleton(links);
        builder.Services.AddSingleton(new HubFlow());
        builder.Services.AddSingleton(new LiveValues(node.Controller));
        builder.Services.AddSingleton(new CardFence(node.Store));
        builder.Services.AddSingleton(new AgentService(node, TimeProvider.System, importer: importer));
        await using WebApplication application = builder.Build();
        Node.MapPartitionServices(application);
        application.MapGrpcService<EnrolmentService>();
        await node.ServeAsync(application, () => Task.CompletedTask, () => Task.CompletedTask, cancellationToken).ConfigureAwait(false);
    }
}
