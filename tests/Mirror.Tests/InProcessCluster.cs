using System.Collections.Immutable;
using System.Net;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Engines;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.ClusterTesting;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Mirror.Hub;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Mirror.Tests;

/// <summary>
/// An SC and two SPUs, a server each, that share a CA and a directory of logs: whichever SPU is told to lead a geo-location's partitions opens
/// them there. Which one that is the test says; until then it is the one that asked for them.
/// </summary>
internal sealed class InProcessCluster : IAsyncDisposable
{
    private static readonly int[] Ids = [1, 2];

    private readonly TempDirectory _temp;
    private readonly Lock _lock = new();
    private readonly Dictionary<int, Spu> _spus = [];
    private readonly TimeProvider _time;
    private readonly SpuSet _set;
    private NodeServer? _sc;
    private int _scPort;
    private int _askedAtSc;
    private ImmutableDictionary<string, (int Spu, long Epoch)> _moved = [];

    private InProcessCluster(TempDirectory temp, LiteDbMetadataStore store, TimeProvider time)
    {
        _temp = temp;
        _time = time;
        _set = new SpuSet(this);
        Authority = CertificateAuthority.Open(DataDirectory, time);
        Store = store;
        Controller = new StreamController(Store, _set, [.. Ids.Select(id => new SpuInfo(id, []))], isHub: true);
        Rights = new GeoLocationRights(Authority.Certificate, Authority.Withdrawn.ReasonOf, Controller, time);
        Issuer = new HubAuthority(Authority, Rights, Controller, Store, Store, HubAuthority.DefaultGeoLocationLife, time);
    }

    public string DataDirectory => _temp.Sub("data");

    public CertificateAuthority Authority { get; }

    public GeoLocationRights Rights { get; }

    public HubAuthority Issuer { get; }

    public LiteDbMetadataStore Store { get; }

    public StreamController Controller { get; }

    /// <summary>How many calls have come to the SC.</summary>
    public int AskedAtSc => Volatile.Read(ref _askedAtSc);

    public string ScAddress => $"127.0.0.1:{_scPort}";

    public static async Task<InProcessCluster> StartAsync(TimeProvider? time = null)
    {
        var temp = new TempDirectory();
        Directory.CreateDirectory(temp.Sub("data"));
        (LiteDbMetadataStore store, _) = await MetadataRecovery.OpenAsync(temp.Sub("data"), leaderSpu: Ids[0], NullLogger.Instance);
        var cluster = new InProcessCluster(temp, store, time ?? TimeProvider.System);
        foreach (int id in Ids)
            cluster._spus[id] = new Spu(cluster, id);

        await cluster.Controller.StartAsync();
        await cluster.StartScAsync();
        foreach (Spu spu in cluster._spus.Values)
            await spu.StartServingAsync();

        await cluster.Controller.TouchAsync();
        return cluster;
    }

    public string AddressOf(int spu) => $"127.0.0.1:{_spus[spu].Port}";

    /// <summary>Whether a geo-location's uplink is connected to an SPU.</summary>
    public bool IsConnectedTo(int spu, string geoLocation) => _spus[spu].Presence.IsOnline(geoLocation);

    /// <summary>The SPU that serves a geo-location, as the SC says.</summary>
    public int HomeOf(string geoLocation) => Ids.Single(id => $"https://{AddressOf(id)}" == Homes.Locate(geoLocation).Endpoint);

    private GeoLocationHomes Homes => new(_set.ViewOf(0), spu: null, [$"https://{ScAddress}"]);

    public PartitionLog LogOf(string geoLocation, string topic)
    {
        var id = new PartitionId(topic, Controller.Current.Topics[topic].PartitionOf(geoLocation)!.Number);
        return _spus.Values.Select(spu => spu.Node.Find(id)).OfType<Partition>().Single().Segments;
    }

    public async Task<string> InviteAsync(string geoLocation) => (await Issuer.InviteAsync(geoLocation, TimeSpan.FromHours(1))).Token;

    /// <summary>Gives a geo-location to an SPU, with all its partitions.</summary>
    public async Task MoveAsync(string geoLocation, int spu)
    {
        lock (_lock)
            _moved = _moved.SetItem(geoLocation, (spu, _moved.GetValueOrDefault(geoLocation).Epoch + 1));

        await Controller.TouchAsync();
    }

    public Task StopSpuAsync(int spu) => _spus[spu].StopServingAsync();

    public Task StartSpuAsync(int spu) => _spus[spu].StartServingAsync();

    public async Task StopScAsync()
    {
        if (_sc is not null)
            await _sc.DisposeAsync();

        _sc = null;
    }

    public async Task StartScAsync()
    {
        X509Certificate2 certificate = Authority.IssueServer(["localhost"], TimeSpan.FromDays(1));
        _sc = await NodeServer.StartAsync(
            Listen(() => _scPort, certificate),
            services => services
                .AddSingleton(_time)
                .AddSingleton(Authority)
                .AddSingleton(new Accessor<HubAuthority>(Issuer))
                .AddSingleton(_ => Homes)
                .AddSingleton<ICallerAuthenticator>(new Counter(this)),
            application =>
            {
                application.MapGrpcService<EnrolmentService>();
                application.MapGrpcService<LocateService>();
            });
        _scPort = _sc.Port;
    }

    public GrpcChannel ChannelTo(string address, X509Certificate2 certificate) => InProcessHub.ChannelTo(address, Authority, certificate);

    public async ValueTask DisposeAsync()
    {
        await StopScAsync();
        foreach (Spu spu in _spus.Values)
            await spu.DisposeAsync();

        Controller.Dispose();
        Issuer.Dispose();
        Store.Dispose();
        Authority.Dispose();
        _temp.Dispose();
    }

    private static Action<KestrelServerOptions> Listen(Func<int> port, X509Certificate2 certificate) => kestrel => kestrel.Listen(IPAddress.Loopback, port(), endpoint =>
    {
        endpoint.Protocols = HttpProtocols.Http2;
        endpoint.UseHttps(certificate, https =>
        {
            https.SslProtocols = SslProtocols.Tls13;
            https.ClientCertificateMode = ClientCertificateMode.AllowCertificate;
            https.AllowAnyClientCertificate();
        });
    });

    /// <summary>The map as the SPUs are told it: with where they are reached, and what was moved.</summary>
    private TopologyMap Told(TopologyMap map) => map with
    {
        Spus = [.. map.Spus.Select(spu => spu with { Endpoints = [$"https://{AddressOf(spu.Id)}"] })],
        Topics = map.Topics.ToImmutableSortedDictionary(topic => topic.Key, topic => topic.Value with
        {
            Partitions =
            [
                .. topic.Value.Partitions.Select(partition => partition.GeoLocation is { } geo && _moved.TryGetValue(geo, out var moved)
                    ? partition with { LeaderSpu = moved.Spu, LeaderEpoch = moved.Epoch }
                    : partition),
            ],
        }, StringComparer.Ordinal),
    };

    private sealed class Counter(InProcessCluster cluster) : ICallerAuthenticator
    {
        public CallerIdentity Authenticate(X509Certificate2 certificate)
        {
            Interlocked.Increment(ref cluster._askedAtSc);
            return cluster.Rights.Authenticate(certificate);
        }
    }

    /// <summary>One SPU: its partitions, and its server with the certificate that was made for it.</summary>
    private sealed class Spu : IAsyncDisposable
    {
        private readonly InProcessCluster _cluster;
        private readonly SpuIdentity _identity;
        private NodeServer? _server;

        public Spu(InProcessCluster cluster, int id)
        {
            _cluster = cluster;
            string directory = cluster._temp.Sub($"spu-{id}");
            SpuIdentity.Create(directory, cluster.Authority, id, ["localhost"]);
            _identity = SpuIdentity.Load(directory, id);
            var engine = new SegmentEngine(
                new PartitionDirectories(cluster.DataDirectory), new LogOptions { SegmentBytes = 20_000 }, NullLogger.Instance, isHub: true);
            Node = new LocalSpu(id, engine, NullLogger<LocalSpu>.Instance, isHub: true);
        }

        public LocalSpu Node { get; }

        public int Port { get; private set; }

        public GeoLocationPresence Presence { get; private set; } = new(TimeProvider.System);

        public async Task StartServingAsync()
        {
            IClusterView view = _cluster._set.ViewOf(Node.Id);
            var rights = new GeoLocationRights(_identity.Authority, _ => null, view, _cluster._time);
            _server = await NodeServer.StartAsync(
                Listen(() => Port, _identity.Certificate),
                services => services
                    .AddSingleton(_cluster._time)
                    .AddSingleton(view)
                    .AddSingleton<IMirrorPartitions>(new Asker(_cluster.Controller, Node.Id))
                    .AddSingleton(rights)
                    .AddSingleton<ICallerAuthenticator>(rights)
                    .AddSingleton(new GeoLocationHomes(view, Node.Id, [$"https://{_cluster.ScAddress}"]))
                    .AddSingleton<HubLinks>()
                    .AddSingleton(new HubFlow())
                    .AddSingleton(new LiveValues(view))
                    .AddSingleton(new CardFence(_cluster.Store))
                    .AddGrpc().AllowLargeMessages<MirrorService>().AllowLargeMessages<DownlinkService>().AllowLargeMessages<LiveService>(),
                application =>
                {
                    application.MapGrpcService<MirrorService>();
                    application.MapGrpcService<DownlinkService>();
                    application.MapGrpcService<LiveService>();
                });
            Port = _server.Port;
            Presence = _server.Get<GeoLocationPresence>();
        }

        public async Task StopServingAsync()
        {
            if (_server is not null)
                await _server.DisposeAsync();

            _server = null;
        }

        public async ValueTask DisposeAsync()
        {
            await StopServingAsync();
            await Node.DisposeAsync();
            _identity.Dispose();
        }
    }

    /// <summary>Asks the SC for partitions, with the wish to lead them.</summary>
    private sealed class Asker(StreamController controller, int spu) : IMirrorPartitions
    {
        public Task EnsureGeoLocationAsync(string geoLocation) => controller.EnsureGeoLocationAsync(geoLocation);

        public Task<PartitionId> EnsureMirrorPartitionAsync(string topicName, string geoLocation) =>
            controller.EnsureMirrorPartitionAsync(topicName, geoLocation, spu);
    }

    /// <summary>The SPUs as the SC has them, and what each of them sees of the cluster.</summary>
    private sealed class SpuSet(InProcessCluster cluster) : ISpus
    {
        private TopologyMap? _told;
        private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public int DefaultReplicas => 1;

        public IClusterView ViewOf(int spu) => new View(this, spu);

        public ValueTask CheckReplicasAsync(int replicas) => ValueTask.CompletedTask;

        public ValueTask<bool> HasReplicasAsync(PartitionId partition, int replicas, CancellationToken cancellationToken) => new(true);

        public void CheckSync(SyncPolicy sync)
        {
        }

        public void CheckRoomFor(int partitions)
        {
        }

        public Partition? Find(PartitionId partition) => null;

        public async ValueTask<StoredLog?> FindStoredAsync(PartitionId partition)
        {
            foreach (Spu spu in cluster._spus.Values)
            {
                if (await spu.Node.FindStoredAsync(partition) is { } stored)
                    return stored;
            }

            return null;
        }

        public IEnumerable<PartitionInfo> Place(TopologyMap map, string topic, IEnumerable<PartitionInfo> partitions) =>
            partitions.Select(partition => partition.LeaderSpu == PartitionInfo.NoLeader ? partition with { LeaderSpu = Ids[0] } : partition);

        public ValueTask CheckHoldsAsync(TopicInfo topic, TopicSettings settings) => ValueTask.CompletedTask;

        public SpuStatus StatusOf(int id) => new(Online: cluster._spus.ContainsKey(id));

        public Task SettleAsync() => Task.CompletedTask;

        public async Task StartAsync(TopologyMap topology)
        {
            foreach (Spu spu in cluster._spus.Values)
                await spu.Node.StartAsync(cluster.Told(topology));

            _told = cluster.Told(topology);
        }

        public async Task ApplyAsync(TopologyMap topology)
        {
            TopologyMap told = cluster.Told(topology);

            // Who loses a log lets go of it before the other opens it.
            var leaders = told.Topics.Values.SelectMany(topic => topic.Partitions.Select(p => (new PartitionId(topic.Name, p.Number), p.LeaderSpu)));
            var losers = leaders.Select(one => cluster._spus.Values.FirstOrDefault(spu => spu.Node.Id != one.LeaderSpu && spu.Node.Find(one.Item1) is not null)).OfType<Spu>();
            foreach (Spu spu in losers.Concat(cluster._spus.Values).Distinct().ToArray())
                await spu.Node.ApplyAsync(told);

            Volatile.Write(ref _told, told);
            Interlocked.Exchange(ref _changed, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).SetResult();
        }

        public Task DeleteStoredAsync(TopicInfo topic) => Task.CompletedTask;

        public Task ReplaceLogAsync(TopicInfo topic, PartitionInfo info, long firstOffset, long carryFrom) => throw new NotSupportedException();

        private sealed class View(SpuSet set, int spu) : IClusterView
        {
            public TopologyMap Current => Volatile.Read(ref set._told)!;

            public SpuStatus StatusOf(int id) => set.StatusOf(id);

            public bool IsHub => true;

            public event Func<string, Task>? TopicDeleted
            {
                add { }
                remove { }
            }

            public async Task WaitForChangeAsync(TopologyMap known, CancellationToken cancellationToken)
            {
                Task changed = Volatile.Read(ref set._changed).Task;
                if (ReferenceEquals(Current, known))
                    await changed.WaitAsync(cancellationToken);
            }

            public Partition GetPartition(string topicName, int number)
            {
                TopicInfo topic = Current.Topics.GetValueOrDefault(topicName) ?? throw ClusterException.TopicNotFound(topicName);
                return set.Node(spu).Find(new PartitionId(topicName, number)) ?? throw ClusterException.NotHere(Current, topic, number);
            }
        }

        private LocalSpu Node(int spu) => cluster._spus[spu].Node;
    }
}
