using System.Net;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Client;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Engines;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Metadata.JetStream;
using EdgeStream.Cluster.Tests.Engines;
using EdgeStream.Cluster.Tests.Metadata.JetStream;
using EdgeStream.Cluster.Topology;
using EdgeStream.ClusterTesting;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;
using EdgeStream.Testing;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using OvertakenPartition = EdgeStream.Protocol.V1.OvertakenPartition;
using TopicSettings = EdgeStream.Cluster.Topology.TopicSettings;

namespace EdgeStream.Cluster.Tests.Grpc;

/// <summary>The SC's end of its SPUs' links by itself: over TLS, to whoever calls, and with what they may send.</summary>
public sealed class SpuControlServiceTests(NatsFixture nats) : IAsyncLifetime
{
    private readonly TempDirectory _temp = new();
    private readonly string _name = MetadataServers.NewName();
    private readonly GeoLocationPresence _presence = new(TimeProvider.System);
    private readonly List<IDisposable> _callers = [];
    private TestAuthority _authority = null!;
    private JetStreamTopologyStore _store = null!;
    private LiteDbMetadataStore _positions = null!;
    private IPartitionEngine _engine = null!;
    private SpuRegistry _spus = null!;
    private ScActivity _sc = null!;
    private NodeServer _server = null!;
    private bool _isActive = true;

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _authority = new TestAuthority(_temp.Path);
        _store = await MetadataServers.OpenTopologyAsync(await nats.OptionsAsync(1), _name);
        _positions = new LiteDbMetadataStore(_temp.Sub("positions.db"));
        _engine = EngineUnderTest.Segments(_temp.Path);
        _spus = new SpuRegistry(_engine, _positions, _store.LoadSpus(), TimeProvider.System, _store.Term);
        _sc = await ScActivity.StartAsync(new StreamController(_store, _spus), _spus, _presence, TimeProvider.System, NullLogger.Instance);
        (string certificate, string key) = _authority.Issue("server");
        _server = await NodeServer.StartAsync(
            kestrel => kestrel.Listen(IPAddress.Loopback, 0, endpoint =>
            {
                endpoint.Protocols = HttpProtocols.Http2;
                endpoint.UseHttps(X509Certificate2.CreateFromPemFile(certificate, key), https =>
                {
                    https.SslProtocols = SslProtocols.Tls13;
                    https.ClientCertificateMode = ClientCertificateMode.AllowCertificate;
                    https.AllowAnyClientCertificate();
                });
            }),
            services => services.AddSingleton(_presence).AddSingleton<ICallerAuthenticator, EverybodyIsTheSpuOfItsName>()
                .AddSingleton(new Accessor<ScActivity>(() => _isActive ? _sc : throw new ClusterException(ErrorCode.Unavailable, "this SC stands by; ask the others"))),
            application => application.MapGrpcService<SpuControlService>());
    }

    public async ValueTask DisposeAsync()
    {
        foreach (IDisposable caller in _callers)
            caller.Dispose();

        await _server.DisposeAsync();
        if (_isActive)
            await _sc.DisposeAsync();

        await _engine.DisposeAsync();
        await _store.DisposeAsync();
        _positions.Dispose();
        _authority.Dispose();
        _temp.Dispose();
    }

    [Fact]
    public async Task Spu_that_registers_is_written_down_and_told_what_there_is_and_what_changes()
    {
        using Link link = Register(1, zone: "rack-1");
        SpuUpdate first = await link.NextAsync(update => update.Topology?.Spus.Count == 1);
        Assert.Equal((_store.ClusterId, _store.Term), (first.Topology.ClusterId, first.Topology.Term));
        Assert.Equal("rack-1", Assert.Single(_store.LoadSpus()).Zone);
        Assert.True(Assert.Single(first.Spus).Online);

        // It completes when the SPU has said that it serves it.
        Task<TopicInfo> creating = _sc.Controller.CreateTopicAsync("t", 2, new TopicSettings());
        SpuUpdate second = await link.NextAsync(update => update.Topology?.Topics.Count == 1);
        Assert.True(second.Topology.Version > first.Topology.Version);
        Assert.All(second.Topology.Topics[0].Partitions, partition => Assert.Equal(1, partition.LeaderSpu));
        await link.SendAsync(new SpuReport { AppliedVersion = second.Topology.Version, NatsServer = "n1" });
        await creating.InTimeAsync();
        Assert.Equal("n1", _spus.StatusOf(1).NatsServer);

        // Without the topology, where only the SPUs are otherwise.
        using Link other = Register(2);
        await other.NextAsync(update => update.Topology?.Topics.Count == 1);
        await link.NextAsync(update => update.Spus.Count == 2);
        other.Dispose();
        SpuUpdate without = await link.NextAsync(update => update.Spus.Any(spu => spu is { Id: 2, Online: false }));
        Assert.Null(without.Topology);
    }

    [Fact]
    public async Task Who_does_not_say_who_it_is_or_is_somebody_else_is_refused()
    {
        using (Link link = Open(1))
        {
            await link.SendAsync(new SpuReport { AppliedVersion = 1 });
            await link.EndsAsync(ErrorCode.InvalidArgument, "an SPU begins with its hello");
        }

        using (Link link = Open(1))
        {
            await link.SendAsync(new SpuReport { Hello = Hello(2) });
            await link.EndsAsync(ErrorCode.PermissionDenied, "the certificate is that of 'spu-1', and the SPU says that it is SPU 2; one certificate is for one SPU");
        }

        foreach (Action<SpuHello> spoil in (Action<SpuHello>[])
        [
            hello => hello.Endpoints.Clear(),
            hello => hello.Endpoints.Add(Enumerable.Repeat("https://x:1", 8)),
            hello => hello.Endpoints[0] = "http://spu1:9444",
            hello => hello.Endpoints[0] = "spu1",
            hello => hello.Endpoints[0] = "https://" + new string('x', 300),
            hello => hello.Zone = new string('x', 65),
            hello => hello.Instance = "",
            hello => hello.SoftwareVersion = new string('1', 300),
            hello => hello.Term = -1,
            hello => hello.Term = long.MaxValue,
        ])
        {
            SpuHello hello = Hello(1);
            spoil(hello);
            using Link link = Open(1);
            await link.SendAsync(new SpuReport { Hello = hello });
            await link.EndsAsync(ErrorCode.InvalidArgument, "");
        }

        Assert.Empty(_store.LoadSpus());
        Assert.Empty(_spus.Alive);
    }

    [Fact]
    public async Task Second_process_is_refused_and_the_same_one_takes_the_place_of_its_old_stream()
    {
        using Link first = Register(1, instance: "a");
        await first.NextAsync(update => update.Topology is not null);
        using (Link second = Register(1, instance: "b"))
            await second.EndsAsync(ErrorCode.SpuExists, "an SPU 1 is there already, at https://spu1:9444");

        await first.SendAsync(new SpuReport());
        using Link again = Register(1, instance: "a");
        await first.EndsAsync(ErrorCode.Unavailable, "SPU 1 has registered anew; this stream was its old one");
        await again.NextAsync(update => update.Topology is not null);
        await again.SendAsync(new SpuReport { NatsServer = "n2" });
        await Eventually.HoldsAsync(() => _spus.StatusOf(1).NatsServer == "n2", "the new stream counts");
        Assert.True(_spus.StatusOf(1).Online);
    }

    [Fact]
    public async Task Spu_that_takes_its_leave_is_gone_at_once_and_its_stream_ends_well()
    {
        using Link link = Register(1);
        await link.NextAsync(update => update.Topology is not null);
        await link.CompleteAsync();
        await link.LastAsync(_ => { }).InTimeAsync();
        Assert.False(_spus.StatusOf(1).Online);
    }

    [Fact]
    public async Task Spu_that_is_about_to_stop_gets_no_more_and_hears_on()
    {
        using Link link = Register(1);
        await link.NextAsync(update => update.Topology is not null);
        await link.SendAsync(new SpuReport { Leaving = true });
        await Eventually.HoldsAsync(() => _spus.Alive.Count == 0, "it gets nothing more");
        Assert.True(_spus.StatusOf(1).Online);
        using Link other = Register(2);
        await link.NextAsync(update => update.Topology?.Spus.Count == 2);
    }

    [Fact]
    public async Task Links_and_refusals_that_an_spu_has_seen_are_known_here_but_not_of_strangers()
    {
        await _sc.Controller.SaveGeoLocationAsync(new GeoLocationInfo("north", DateTimeOffset.UtcNow, Revoked: false));
        using Link link = Register(1);
        await link.NextAsync(update => update.Topology is not null);
        await link.SendAsync(new SpuReport
        {
            GeoLocations = { Online("north"), Online("stranger") },
            Refusals = { new Refusal { GeoLocation = "south", Reason = "was revoked", Address = "10.0.0.9" } },
        });
        await Eventually.HoldsAsync(() => _presence.IsOnline("north"), "its link is known");
        Assert.False(_presence.IsOnline("stranger"));
        await Eventually.HoldsAsync(() => _presence.Refusals.Shown.Any(refusal => refusal is { GeoLocation: "south", Address: "10.0.0.9" }), "the refusal is known");

        // One that starts anew tells anew: what its last process had is gone with it.
        using Link again = Register(1);
        await Eventually.HoldsAsync(() => !_presence.IsOnline("north"), "the link is gone");
    }

    [Fact]
    public async Task Partition_that_was_led_with_a_later_epoch_gets_a_still_later_one_where_its_leader_says_so_by_what_it_was_told_last()
    {
        const long Found = 1_000_000;
        using Link link = Register(1);
        await link.NextAsync(update => update.Topology is not null);
        _ = _sc.Controller.CreateTopicAsync("t", 3, new TopicSettings());
        SpuUpdate told = await link.NextAsync(update => update.Topology?.Topics.Count == 1);
        long epoch = told.Topology.Topics[0].Partitions[0].LeaderEpoch;

        // An SPU that does not lead it, and its leader as of a topology before, or of a topic that is gone: the SC knows better.
        using Link other = Register(2);
        await other.NextAsync(update => update.Topology?.Spus.Count == 2);
        await other.SendAsync(new SpuReport { AppliedVersion = told.Topology.Version, Overtaken = { Overtaken(0, epoch, Found) } });
        await link.SendAsync(new SpuReport
        {
            AppliedVersion = told.Topology.Version,
            Overtaken =
            {
                Overtaken(0, epoch, Found), Overtaken(1, epoch - 1, 2 * Found), Overtaken(2, epoch, Found), Overtaken(2, epoch, long.MaxValue), Overtaken(9, epoch, Found),
                new OvertakenPartition { Topic = "gone", ToldEpoch = 1, FoundEpoch = Found },
            },
        });
        SpuUpdate raised = await link.NextAsync(update => update.Topology?.Topics[0].Partitions[0].LeaderEpoch > epoch);
        long next = raised.Topology.Topics[0].Partitions[0].LeaderEpoch;
        Assert.InRange(next, Found + 1, 2 * Found);
        Assert.Equal([(0, 1, next), (1, 1, epoch), (2, 1, next)], raised.Topology.Topics[0].Partitions.Select(one => (one.Number, one.LeaderSpu, one.LeaderEpoch)));
        Assert.Equal(StoredMessages.FromMessage(raised.Topology.Topics[0]).Partitions, _store.LoadTopics()[0].Partitions);

        // What is said of before once more changes nothing, and whatever comes is later still, also at the next SC.
        await link.SendAsync(new SpuReport { AppliedVersion = told.Topology.Version, Overtaken = { Overtaken(0, epoch, Found) } });
        _ = _sc.Controller.CreateTopicAsync("u", 1, new TopicSettings());
        SpuUpdate with = await link.NextAsync(update => update.Topology?.Topics.Count == 2);
        Assert.Equal(next, with.Topology.Topics[0].Partitions[0].LeaderEpoch);
        Assert.True(with.Topology.Topics[1].Partitions[0].LeaderEpoch > next);
    }

    [Fact]
    public async Task What_an_edge_brings_is_led_by_the_spu_that_asks()
    {
        using Link first = Register(1), second = Register(2);
        _ = first.ServeAsync();
        _ = second.ServeAsync();
        await Eventually.HoldsAsync(() => _spus.Alive.Count == 2, "both are there");
        var control = new SpuControl.SpuControlClient(Channel(2));
        await control.EnsureGeoLocationAsync(new EnsureGeoLocationRequest { GeoLocation = "north" });
        Assert.Contains("north", _sc.Controller.Current.GeoLocations.Keys);
        EnsureMirrorPartitionResponse answer = await control.EnsureMirrorPartitionAsync(new EnsureMirrorPartitionRequest { Topic = "readings", GeoLocation = "north" });
        Assert.Equal((answer.Partition, 2, "north"), PlaceOf("readings"));

        // Whoever asks for more of it: one SPU serves a geo-location.
        var other = new SpuControl.SpuControlClient(Channel(1));
        await other.EnsureMirrorPartitionAsync(new EnsureMirrorPartitionRequest { Topic = "alarms", GeoLocation = "north" });
        Assert.Equal(2, Assert.Single(_sc.Controller.Current.Topics["alarms"].Partitions).LeaderSpu);
        await RefusedAsync(ErrorCode.InvalidArgument, async () => await other.EnsureGeoLocationAsync(new EnsureGeoLocationRequest { GeoLocation = "../x" }));
    }

    [Fact]
    public async Task Spu_that_knows_a_later_term_than_is_stored_is_told_the_topology_as_of_one_that_is_later_still()
    {
        using Link first = Register(1);
        await first.NextAsync(update => update.Topology is not null);
        long term = _store.Term;
        using Link second = Register(2, term: term + 10);
        await second.NextAsync(update => update.Topology?.Term == term + 11);
        await first.NextAsync(update => update.Topology?.Term == term + 11);
        Assert.Equal(term + 11, _store.Term);

        // One that this SC has told so itself, and one that has it from another: the same was given twice.
        using Link again = Register(2, term: term + 11);
        await again.NextAsync(update => update.Topology?.Term == term + 11);
        using Link third = Register(3, term: term + 11);
        await third.NextAsync(update => update.Topology?.Term == term + 12);
        using Link fourth = Register(4, term: term + 5);
        await fourth.NextAsync(update => update.Topology?.Term == term + 12);
    }

    [Fact]
    public async Task Spu_that_says_the_highest_term_keeps_no_other_from_coming_back()
    {
        const long Highest = long.MaxValue / 2;
        using Link other = Register(1);
        await other.NextAsync(update => update.Topology is not null);
        using Link liar = Register(2, term: Highest);
        await other.NextAsync(update => update.Topology?.Term == Highest + 1);
        using (Link again = Register(1, term: Highest + 1))
            await again.NextAsync(update => update.Topology?.Term == Highest + 1);

        using (Link higher = Register(3, term: Highest + 2))
            await higher.EndsAsync(ErrorCode.InvalidArgument, $"no SC has had the term {Highest + 2}");
    }

    [Fact]
    public async Task Sc_that_was_overtaken_finds_out_by_what_an_spu_knows()
    {
        await using JetStreamTopologyStore next = await MetadataServers.OpenTopologyAsync(await nats.OptionsAsync(1), _name, "sc-2");
        using Link link = Register(1, term: next.Term);
        await link.EndsAsync(ErrorCode.Unavailable, "another has written the topology since");
        Assert.True(_store.Superseded.IsCancellationRequested);
        Assert.Empty(_spus.Alive);
    }

    [Fact]
    public async Task Sc_that_stands_by_or_comes_to_do_so_says_so()
    {
        using Link link = Register(1);
        await link.NextAsync(update => update.Topology is not null);
        _isActive = false;
        await _sc.DisposeAsync();
        await link.EndsAsync(ErrorCode.Unavailable, "this SC is not the active one any more; ask the others");
        using Link again = Register(1);
        await again.EndsAsync(ErrorCode.Unavailable, "this SC stands by; ask the others");
    }

    private (int Number, int LeaderSpu, string? GeoLocation) PlaceOf(string topic)
    {
        PartitionInfo partition = Assert.Single(_sc.Controller.Current.Topics[topic].Partitions);
        return (partition.Number, partition.LeaderSpu, partition.GeoLocation);
    }

    private static Protocol.V1.GeoLocation Online(string name) => new() { Name = name, State = GeoLocationState.Online };

    private static OvertakenPartition Overtaken(int partition, long told, long found) =>
        new() { Topic = "t", Partition = partition, ToldEpoch = told, FoundEpoch = found };

    private static SpuHello Hello(int id, string zone = "", string instance = "process", long term = 0) =>
        new() { Id = id, Endpoints = { $"https://spu{id}:9444" }, Zone = zone, Instance = instance, SoftwareVersion = "1.0", Term = term };

    private static async Task RefusedAsync(ErrorCode code, Func<Task> call, string message = "")
    {
        var refused = await Assert.ThrowsAsync<RpcException>(() => call().InTimeAsync());
        ClientException told = ClientException.From(refused, "the SC");
        Assert.Equal(code, told.Code);
        Assert.Contains(message, told.Message, StringComparison.Ordinal);
    }

    private GrpcChannel Channel(int id)
    {
        (string certificate, string key) = _authority.Issue($"spu-{id}");
        var options = new ClientOptions
        {
            Endpoints = [$"https://127.0.0.1:{_server.Port}"],
            Authority = X509CertificateLoader.LoadCertificateFromFile(_authority.File),
            Certificate = X509Certificate2.CreateFromPemFile(certificate, key),
        };
        GrpcChannel channel = EndpointChannel.Open(options.Endpoints[0], options);
        _callers.Add(channel);
        return channel;
    }

    private Link Open(int id) => new(new SpuControl.SpuControlClient(Channel(id)).Register(cancellationToken: Cancelled));

    private Link Register(int id, string zone = "", string instance = "process", long term = 0)
    {
        Link link = Open(id);
        _ = link.SendAsync(new SpuReport { Hello = Hello(id, zone, instance, term) });
        return link;
    }

    /// <summary>A stream of an SPU, which reports nothing by itself.</summary>
    private sealed class Link(AsyncDuplexStreamingCall<SpuReport, SpuUpdate> call) : IDisposable
    {
        public Task SendAsync(SpuReport report) => call.RequestStream.WriteAsync(report, Cancelled);

        public Task CompleteAsync() => call.RequestStream.CompleteAsync();

        /// <summary>The first update that is so.</summary>
        public async Task<SpuUpdate> NextAsync(Func<SpuUpdate, bool> condition)
        {
            while (await call.ResponseStream.MoveNext(Cancelled).InTimeAsync())
            {
                if (condition(call.ResponseStream.Current))
                    return call.ResponseStream.Current;
            }

            throw new InvalidOperationException("the SC has ended the stream");
        }

        /// <summary>Completes when the SC ends the stream, and that well.</summary>
        public async Task LastAsync(Action<SpuUpdate> seen)
        {
            while (await call.ResponseStream.MoveNext(Cancelled))
                seen(call.ResponseStream.Current);
        }

        /// <summary>As an SPU does it: serves what it is told, and says so again and again.</summary>
        public async Task ServeAsync()
        {
            long applied = 0;
            Task reading = LastAsync(update => Volatile.Write(ref applied, update.Topology?.Version ?? Volatile.Read(ref applied)));
            using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
            while (!reading.IsCompleted && await timer.WaitForNextTickAsync(Cancelled))
                await SendAsync(new SpuReport { AppliedVersion = Volatile.Read(ref applied) });
        }

        public Task EndsAsync(ErrorCode code, string message) => RefusedAsync(code, () => NextAsync(_ => false), message);

        public void Dispose() => call.Dispose();
    }

    private sealed class EverybodyIsTheSpuOfItsName : ICallerAuthenticator
    {
        public CallerIdentity Authenticate(X509Certificate2 certificate) => new(CallerRole.Spu, certificate.GetNameInfo(X509NameType.SimpleName, forIssuer: false));
    }
}
