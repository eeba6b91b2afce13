using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Globalization;
using System.Net;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Client;
using EdgeStream.Cluster.Groups;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Tests.Engines;
using EdgeStream.Cluster.Topology;
using EdgeStream.ClusterTesting;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;
using EdgeStream.Testing;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Cluster.Tests.Client;

/// <summary>
/// Two SPUs on one nats-server, and two SCs of which one stands by, each behind a TLS server of its own. The test says who leads what.
/// </summary>
internal sealed class InProcessCluster : IAsyncDisposable
{
    private readonly TempDirectory _temp = new();
    private readonly TestAuthority _authority;
    private readonly LiteDbMetadataStore _positions;
    private readonly List<WebApplication> _scs = [];
    private TopologyMap _map;
    private int _asked;
    private int _refused;
    private int _sentWhole;

    private InProcessCluster()
    {
        _authority = new TestAuthority(_temp.Path);
        _positions = new LiteDbMetadataStore(_temp.Sub("positions.db"));
        _map = new TopologyMap(
            Guid.NewGuid().ToString("N"), [], ImmutableSortedDictionary<string, GeoLocationInfo>.Empty,
            ImmutableSortedDictionary.Create<string, TopicInfo>(StringComparer.Ordinal));
    }

    /// <summary>With the numbers 1 and 2.</summary>
    public List<InProcessSpu> Spus { get; } = [];

    /// <summary>How often the active SC was asked for the topology.</summary>
    public int Asked => Volatile.Read(ref _asked);

    /// <summary>Whether one of the SCs is active; and how often one has said that it stands by.</summary>
    public bool HasActive { get; set; } = true;

    public int Refused => Volatile.Read(ref _refused);

    /// <summary>What an SC that stands by says.</summary>
    public string StandsBy { get; set; } = "this SC stands by; ask the active one";

    /// <summary>How often it has sent all of it, and not that it is as the client knows it.</summary>
    public int SentWhole => Volatile.Read(ref _sentWhole);

    public string Standby { get; private set; } = "";

    public string Active { get; private set; } = "";

    public static async Task<InProcessCluster> StartAsync(NatsFixture nats)
    {
        NatsServer server = await nats.SingleAsync();
        var cluster = new InProcessCluster();
        foreach (int id in (int[])[1, 2])
        {
            var node = new LocalSpu(id, EngineUnderTest.JetStream(cluster._temp.Sub($"spu-{id}"), [server.Url]), NullLogger<LocalSpu>.Instance, isHub: true);
            Directory.CreateDirectory(cluster._temp.Sub($"spu-{id}"));
            cluster.Spus.Add(await InProcessSpu.StartAsync(node, cluster));
        }

        cluster._map = cluster._map with { Spus = [.. cluster.Spus.Select(spu => new SpuInfo(spu.Node.Id, [spu.Endpoint], $"rack-{spu.Node.Id}"))] };
        foreach (InProcessSpu spu in cluster.Spus)
            await spu.View.ApplyAsync(cluster._map);

        foreach (bool isActive in (bool[])[false, true])
        {
            WebApplication sc = await cluster.ServeAsync(
                services => services.AddSingleton(new ScControlPlane(
                    () => isActive && cluster.HasActive ? cluster.Ask() : throw cluster.Refuse(), () => Interlocked.Increment(ref cluster._sentWhole))),
                application => application.MapGrpcService<ScControlPlane>());
            cluster._scs.Add(sc);
        }

        (cluster.Standby, cluster.Active) = (EndpointOf(cluster._scs[0]), EndpointOf(cluster._scs[1]));
        return cluster;
    }

    public EdgeStreamClient Connect(params string[] endpoints) => Connect(TimeSpan.Zero, endpoints);

    public EdgeStreamClient Connect(TimeSpan patience, params string[] endpoints)
    {
        (string certificate, string key) = _authority.Issue("client");
        return new EdgeStreamClient(new ClientOptions
        {
            Endpoints = endpoints.Length > 0 ? endpoints : [Standby, Active],
            Patience = patience,
            Authority = X509CertificateLoader.LoadCertificateFromFile(_authority.File),
            Certificate = X509Certificate2.CreateFromPemFile(certificate, key),
        });
    }

    /// <summary>Makes a topic with a partition for each leader that is named.</summary>
    public Task CreateTopicAsync(string name, params int[] leaders) => ChangeAsync(TopicOf(name, leaders), Spus);

    /// <summary>As <see cref="CreateTopicAsync"/>, of which only some SPUs are told; the others <see cref="TellAsync"/> tells.</summary>
    public Task CreateTopicAsync(string name, IEnumerable<InProcessSpu> told, params int[] leaders) => ChangeAsync(TopicOf(name, leaders), told);

    /// <summary>Tells an SPU what there is by now.</summary>
    public Task TellAsync(InProcessSpu spu) => spu.View.ApplyAsync(_map);

    /// <summary>Forgets a topic, of which no SPU is told.</summary>
    public void DeleteTopic(string name) => _map = _map with { Topics = _map.Topics.Remove(name) };

    /// <summary>Has a geo-location in the topology, of which no SPU is told.</summary>
    public void AddGeoLocation(string name) => _map = _map with { GeoLocations = _map.GeoLocations.Add(name, GeoLocationInfo.Lost(name)) };

    /// <summary>Gives a partition to another SPU; the one that has it is told, or goes on as if nothing were.</summary>
    public Task MoveAsync(string topic, int partition, int to, bool tellOld = true)
    {
        TopicInfo before = _map.Topics[topic];
        PartitionInfo moved = before.Partitions[partition] with { LeaderSpu = to, LeaderEpoch = before.Partitions[partition].LeaderEpoch + 1 };
        return ChangeAsync(
            before with { Partitions = before.Partitions.SetItem(partition, moved) }, Spus.Where(spu => tellOld || spu.Node.Id == to).OrderBy(spu => spu.Node.Id == to));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (InProcessSpu spu in Spus)
            await spu.DisposeAsync();

        foreach (WebApplication sc in _scs)
            await sc.DisposeAsync();

        _positions.Dispose();
        _authority.Dispose();
        _temp.Dispose();
    }

    /// <summary>What coordinators have written.</summary>
    public Task<IReadOnlyList<GroupPositions>> ReadPositionsAsync() => _positions.LoadGroupPositionsAsync();

    internal Task<PositionStore> OpenPositionsAsync() => PositionStore.OpenAsync(_positions, TimeProvider.System);

    internal async Task<WebApplication> ServeAsync(Action<IServiceCollection> services, Action<WebApplication> map)
    {
        (string certificate, string key) = _authority.Issue($"server-{Guid.NewGuid():N}");
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, endpoint =>
        {
            endpoint.Protocols = HttpProtocols.Http2;
            endpoint.UseHttps(X509Certificate2.CreateFromPemFile(certificate, key), https =>
            {
                https.SslProtocols = SslProtocols.Tls13;
                https.ClientCertificateMode = ClientCertificateMode.AllowCertificate;
                https.AllowAnyClientCertificate();
            });
        }));
        builder.Services.AddSingleton(TimeProvider.System).AddSingleton<GeoLocationPresence>().AddSingleton<ICallerAuthenticator, EverybodyIsAdmin>();
        builder.Services.AddGuardedGrpc().AllowLargeMessages<DataPlaneService>();
        services(builder.Services);
        builder.Services.TryAddSingleton<IClusterView, UnknownCluster>();
        builder.Services.TryAddSingleton(new ReaderStreams(ReaderStreams.MostInDataCenter));
        WebApplication application = builder.Build();
        map(application);
        await application.StartAsync();
        return application;
    }

    internal static string EndpointOf(WebApplication application) =>
        application.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();

    private static TopicInfo TopicOf(string name, int[] leaders) =>
        new(name, new EdgeStream.Cluster.Topology.TopicSettings(), [.. leaders.Select((leader, number) => new PartitionInfo(number, leader))]);

    private TopologyMap Ask()
    {
        Interlocked.Increment(ref _asked);
        return _map;
    }

    private ClusterException Refuse()
    {
        Interlocked.Increment(ref _refused);
        return new ClusterException(ErrorCode.Unavailable, StandsBy);
    }

    private async Task ChangeAsync(TopicInfo topic, IEnumerable<InProcessSpu> told)
    {
        _map = _map with { Topics = _map.Topics.SetItem(topic.Name, topic) };
        foreach (InProcessSpu spu in told)
            await spu.View.ApplyAsync(_map);
    }

    private sealed class EverybodyIsAdmin : ICallerAuthenticator
    {
        public CallerIdentity Authenticate(X509Certificate2 certificate) => new(CallerRole.Admin, "test");
    }

    /// <summary>Of an SC: the topology where it is active.</summary>
    private sealed class ScControlPlane(Func<TopologyMap> map, Action sendsWhole) : ControlPlane.ControlPlaneBase
    {
        private readonly GeoLocationPresence _presence = new(TimeProvider.System);

        public override Task<Protocol.V1.Topology> GetTopology(GetTopologyRequest request, ServerCallContext context)
        {
            Protocol.V1.Topology answer = TopologyMessages.ToAnswer(request, map(), _presence, _ => new SpuStatus(Online: true));
            if (!answer.Unchanged)
                sendsWhole();

            return Task.FromResult(answer);
        }
    }
}

/// <summary>One SPU with its server, behind a link that can be cut or frozen.</summary>
internal sealed class InProcessSpu : IAsyncDisposable
{
    private readonly WebApplication _server;

    private InProcessSpu(LocalSpu node, SpuView view, GroupCoordinator groups, WebApplication server, ConcurrentQueue<LatestValue> latest)
    {
        (Node, View, Groups, _server, Latest) = (node, view, groups, server, latest);
        Link = new FaultyLink(new Uri(InProcessCluster.EndpointOf(server)).Port);
    }

    public LocalSpu Node { get; }

    public SpuView View { get; }

    public GroupCoordinator Groups { get; }

    /// <summary>What it says that geo-locations have told it.</summary>
    public ConcurrentQueue<LatestValue> Latest { get; }

    /// <summary>Between clients and it.</summary>
    public FaultyLink Link { get; }

    public string Endpoint => string.Create(CultureInfo.InvariantCulture, $"https://127.0.0.1:{Link.Port}");

    public static async Task<InProcessSpu> StartAsync(LocalSpu node, InProcessCluster cluster)
    {
        var view = new SpuView(node);
        GroupCoordinator groups = await GroupCoordinator.StartAsync(view, await cluster.OpenPositionsAsync(), TimeProvider.System);
        var latest = new ConcurrentQueue<LatestValue>();
        WebApplication server = await cluster.ServeAsync(
            services => services.AddSingleton<IClusterView>(view).AddSingleton(node).AddSingleton(new Accessor<GroupCoordinator>(groups)).AddSingleton(latest),
            application =>
            {
                application.MapGrpcService<DataPlaneService>();
                application.MapGrpcService<ConsumerGroupsService>();
                application.MapGrpcService<ControlPlaneService>();
                application.MapGrpcService<LiveValuesOfTest>();
            });
        return new InProcessSpu(node, view, groups, server, latest);
    }

    public async ValueTask DisposeAsync()
    {
        Link.Dispose();
        await _server.StopAsync();
        await _server.DisposeAsync();
        await Groups.DisposeAsync();
        await Node.DisposeAsync();
    }

    /// <summary>Of an SPU: what the geo-locations have told it that it serves, or has served.</summary>
    private sealed class LiveValuesOfTest(ConcurrentQueue<LatestValue> latest) : Live.LiveBase
    {
        public override Task<LatestResponse> Latest(LatestRequest request, ServerCallContext context) =>
            Task.FromResult(new LatestResponse { Values = { latest } });
    }
}
