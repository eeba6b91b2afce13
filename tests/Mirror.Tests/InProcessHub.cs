using System.Net;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Client;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Topology;
using EdgeStream.ClusterTesting;
using EdgeStream.Mirror.Bundles;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Mirror.Hub;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;

namespace EdgeStream.Mirror.Tests;

/// <summary>A hub that serves TLS 1.3 on loopback, on the same port after a restart.</summary>
internal sealed class InProcessHub : IAsyncDisposable
{
    private const string ServerAuthentication = "1.3.6.1.5.5.7.3.1";

    private readonly TempDirectory _temp = new();
    private NodeServer? _server;
    private CertificateAuthority? _tlsAuthority;
    private TimeProvider _time = TimeProvider.System;
    private LyingHub.Lies? _lies;
    private bool _isOld;
    private int _callersLetIn;

    private InProcessHub()
    {
    }

    public NodeParts Parts { get; private set; } = null!;

    public CertificateAuthority Authority { get; private set; } = null!;

    public HubAuthority Issuer => _server!.Get<HubAuthority>();

    public GeoLocationRights Rights => _server!.Get<GeoLocationRights>();

    /// <summary>How many calls have shown a certificate that is good.</summary>
    public int CallersLetIn => Volatile.Read(ref _callersLetIn);

    /// <summary>What its uplinks have on their way.</summary>
    public HubFlow Flow => _server!.Get<HubFlow>();

    /// <summary>What it sees of its geo-locations' links.</summary>
    public GeoLocationPresence Presence => _server!.Get<GeoLocationPresence>();

    public LiveValues Latest => _server!.Get<LiveValues>();

    /// <summary>Takes bundles beside the uplinks.</summary>
    public BundleImporter Importer => new(Parts.Controller, Parts.Controller, Rights, _server!.Get<HubLinks>(), Parts.DataDirectory);

    /// <summary>What its disk is made to do; applies from the start of the hub on.</summary>
    public FaultyFiles Files { get; } = new();

    /// <summary>Its clock; applies from the start of the hub on.</summary>
    public TimeProvider Time { get; set; } = TimeProvider.System;

    public int Port { get; private set; }

    public string Address => $"127.0.0.1:{Port}";

    /// <param name="tlsAuthority">Who has signed its TLS certificate, where that is not its own CA: an impostor.</param>
    /// <param name="time">The clock that it issues and judges certificates by.</param>
    /// <param name="lies">What it says to uplinks instead of serving them.</param>
    /// <param name="isOld">It cannot be asked who serves a geo-location.</param>
    public static async Task<InProcessHub> StartAsync(
        CertificateAuthority? tlsAuthority = null, TimeProvider? time = null, LyingHub.Lies? lies = null, bool isOld = false)
    {
        var hub = new InProcessHub { _tlsAuthority = tlsAuthority, _time = time ?? TimeProvider.System, _lies = lies, _isOld = isOld };
        await hub.StartServingAsync();
        return hub;
    }

    public async Task StartServingAsync()
    {
        Parts = await NodeParts.StartAsync(_temp.Sub("data"), isHub: true, new LogOptions { SegmentBytes = 20_000 }, Files);
        Authority = CertificateAuthority.Open(_temp.Sub("data"), _time);
        X509Certificate2 certificate = (_tlsAuthority ?? Authority).IssueServer(["localhost"], TimeSpan.FromDays(1));
        var rights = new GeoLocationRights(Authority.Certificate, Authority.Withdrawn.ReasonOf, Parts.Controller, _time);
        _server = await NodeServer.StartAsync(
            Parts,
            kestrel => kestrel.Listen(IPAddress.Loopback, Port, endpoint =>
            {
                endpoint.Protocols = HttpProtocols.Http2;
                endpoint.UseHttps(certificate, https =>
                {
                    // Trust is decided at each call, by GeoLocationRights.
                    https.SslProtocols = SslProtocols.Tls13;
                    https.ClientCertificateMode = ClientCertificateMode.AllowCertificate;
                    https.AllowAnyClientCertificate();
                });
            }),
            services => services
                .AddSingleton(Time)
                .AddSingleton(Authority)
                .AddSingleton(rights)
                .AddSingleton(new GeoLocationHomes(Parts.Controller, Parts.Spu.Id, controllers: []))
                .AddSingleton(new HubAuthority(Authority, rights, Parts.Controller, Parts.Store, Parts.Store, HubAuthority.DefaultGeoLocationLife, _time))
                .AddSingleton<ICallerAuthenticator>(new Doorkeeper(this, rights))
                .AddSingleton(provider => new Accessor<HubAuthority>(provider.GetRequiredService<HubAuthority>()))
                .AddSingleton(provider => new Accessor<IHubAuthority>(provider.GetRequiredService<HubAuthority>()))
                .AddSingleton<HubLinks>()
                .AddSingleton(_lies ?? new LyingHub.Lies(0, 0, 0))
                .AddSingleton(new HubFlow())
                .AddSingleton(new LiveValues(Parts.Controller))
                .AddSingleton(new CardFence(Parts.Store))
                .AddGrpc().AllowLargeMessages<MirrorService>().AllowLargeMessages<LyingHub>().AllowLargeMessages<DownlinkService>().AllowLargeMessages<LiveService>(),
            application =>
            {
                if (_isOld)
                    application.Use((context, next) => IsLocate(context) ? SayUnimplementedAsync(context) : next(context));

                application.MapGrpcService<EnrolmentService>();
                if (_lies is null)
                    application.MapGrpcService<MirrorService>();
                else
                    application.MapGrpcService<LyingHub>();

                application.MapGrpcService<DownlinkService>();
                application.MapGrpcService<LiveService>();
            });
        Port = _server.Port;
    }

    public async Task StopServingAsync()
    {
        if (_server is null)
            return;

        await _server.DisposeAsync();
        _server = null;
        Authority.Dispose();
        await Parts.DisposeAsync();
    }

    /// <summary>The records of all topics, while it is stopped.</summary>
    public string TopicsDirectory => Path.Combine(_temp.Sub("data"), "topics");

    /// <summary>Makes a topic that flows down, to all geo-locations or to those that are named.</summary>
    public Task CreateDownTopicAsync(string topic, TimeSpan? timeToLive = null, params string[] geoLocations) => Parts.Controller
        .CreateTopicAsync(topic, 0, new TopicSettings { Down = DownTo.Everybody, TimeToLive = timeToLive }, geoLocations);

    /// <summary>Appends a batch to what flows down to a geo-location.</summary>
    public async Task SendDownAsync(string geoLocation, string topic, byte[] batch) =>
        await LogOf(geoLocation, topic)!.AppendAsync(batch, AckLevel.Durable);

    /// <summary>Imports a bundle as the API does: from a spool of its own.</summary>
    public async Task<V1.ImportLogResponse> ImportAsync(byte[] bundle)
    {
        BundleImporter importer = Importer;
        await using FileStream spool = importer.CreateSpool(bundle.Length);
        await spool.WriteAsync(bundle);
        await spool.FlushAsync();
        return await importer.ImportAsync(spool, CancellationToken.None).InTimeAsync();
    }

    public async Task<string> InviteAsync(string geoLocation) =>
        (await Issuer.InviteAsync(geoLocation, TimeSpan.FromHours(1))).Token;

    /// <summary>The log that a geo-location's topic is copied to, or flows down from; null while there is none.</summary>
    public PartitionLog? LogOf(string geoLocation, string topic) =>
        Parts.Controller.Current.Topics.GetValueOrDefault(topic)?.PartitionOf(geoLocation) is { } partition
            ? Parts.Log(topic, partition.Number)
            : null;

    public EdgeStreamClient ClientAs(X509Certificate2? certificate) => new(new ClientOptions
    {
        Endpoint = $"https://{Address}",
        Authority = Authority.Certificate,
        Certificate = certificate,
    });

    /// <summary>A bare channel, for what the program's own client would never send.</summary>
    public GrpcChannel ChannelAs(X509Certificate2? certificate) => ChannelTo(Address, Authority, certificate);

    /// <summary>The same, to another server of a CA.</summary>
    public static GrpcChannel ChannelTo(string address, CertificateAuthority authority, X509Certificate2? certificate) => GrpcChannel.ForAddress($"https://{address}", new GrpcChannelOptions
    {
        HttpHandler = new SocketsHttpHandler
        {
            SslOptions = new SslClientAuthenticationOptions
            {
                RemoteCertificateValidationCallback = (_, server, _, _) => server is X509Certificate2 presented
                    && PinnedChain.FindProblem(presented, authority.Certificate, ServerAuthentication, at: null) is null,
                LocalCertificateSelectionCallback = certificate is null ? null : (_, _, _, _, _) => certificate,
            },
        },
        DisposeHttpClient = true,
    });

    public async ValueTask DisposeAsync()
    {
        await StopServingAsync();
        _temp.Dispose();
    }

    private static bool IsLocate(HttpContext context) => context.Request.Path == "/edgestream.v1.Mirror/Locate";

    /// <summary>As a server says it of a method that it has not got.</summary>
    private static Task SayUnimplementedAsync(HttpContext context)
    {
        context.Response.ContentType = "application/grpc";
        context.Response.Headers["grpc-status"] = "12";
        return Task.CompletedTask;
    }

    /// <summary>Counts those whom the hub lets in.</summary>
    private sealed class Doorkeeper(InProcessHub hub, GeoLocationRights rights) : ICallerAuthenticator
    {
        public CallerIdentity Authenticate(X509Certificate2 certificate)
        {
            CallerIdentity caller = rights.Authenticate(certificate);
            if (caller.Problem is null)
                Interlocked.Increment(ref hub._callersLetIn);

            return caller;
        }
    }
}
