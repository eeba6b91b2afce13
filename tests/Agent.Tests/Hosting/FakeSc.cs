using System.Collections.Concurrent;
using System.Net;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Threading.Channels;
using EdgeStream.Cluster.Grpc;
using EdgeStream.ClusterTesting;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Protocol.V1;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;

namespace EdgeStream.Agent.Tests.Hosting;

/// <summary>The end of the SC, where a test says what an SPU is told, and sees what that says.</summary>
internal sealed class FakeSc : SpuControl.SpuControlBase, IAsyncDisposable
{
    private readonly ConcurrentQueue<SpuReport> _reports = new();
    private readonly X509Certificate2 _certificate;
    private NodeServer _server = null!;
    private volatile Channel<SpuUpdate>? _updates;
    private int _registrations;

    private FakeSc(X509Certificate2 certificate) => _certificate = certificate;

    public string Endpoint => $"https://127.0.0.1:{_server.Port}";

    /// <summary>What it says to whoever asks for anything; null where it is the active one.</summary>
    public Exception? Refusal { get; set; }

    /// <summary>What it says first to each that registers; null for nothing.</summary>
    public SpuUpdate? Welcome { get; set; }

    /// <summary>How many streams there were.</summary>
    public int Registrations => Volatile.Read(ref _registrations);

    public IReadOnlyCollection<SpuReport> Reports => _reports;

    /// <summary>Whether the SPU has ended its last stream, as one does that takes its leave.</summary>
    public bool HasSaidGoodbye { get; private set; }

    /// <summary>What an SPU has asked for, and what becomes of that.</summary>
    public Func<EnsureMirrorPartitionRequest, EnsureMirrorPartitionResponse>? Ensure { get; set; }

    public static async Task<FakeSc> StartAsync(CertificateAuthority authority)
    {
        var sc = new FakeSc(authority.IssueServer(["localhost"], TimeSpan.FromDays(1)));
        sc._server = await NodeServer.StartAsync(
            kestrel => kestrel.Listen(IPAddress.Loopback, 0, endpoint =>
            {
                endpoint.Protocols = HttpProtocols.Http2;
                endpoint.UseHttps(sc._certificate, https =>
                {
                    https.SslProtocols = SslProtocols.Tls13;
                    https.ClientCertificateMode = ClientCertificateMode.AllowCertificate;
                    https.AllowAnyClientCertificate();
                });
            }),
            services => services.AddSingleton(sc).AddSingleton<ICallerAuthenticator, EverybodyIsAnSpu>(),
            application => application.MapGrpcService<FakeSc>());
        return sc;
    }

    /// <summary>Tells the SPU that is registered.</summary>
    public void Tell(SpuUpdate update) => Assert.True(_updates!.Writer.TryWrite(update));

    /// <summary>Ends the stream of the SPU that is registered.</summary>
    public void Break(Exception reason) => Assert.True(_updates!.Writer.TryComplete(reason));

    public override async Task Register(IAsyncStreamReader<SpuReport> requestStream, IServerStreamWriter<SpuUpdate> responseStream, ServerCallContext context)
    {
        if (Refusal is { } refusal)
            throw refusal;

        var updates = Channel.CreateUnbounded<SpuUpdate>();
        if (Welcome is { } welcome)
            updates.Writer.TryWrite(welcome);

        (HasSaidGoodbye, _updates) = (false, updates);
        Interlocked.Increment(ref _registrations);
        Task listening = ListenAsync();
        await foreach (SpuUpdate update in updates.Reader.ReadAllAsync(context.CancellationToken))
            await responseStream.WriteAsync(update);

        await listening;

        async Task ListenAsync()
        {
            while (await requestStream.MoveNext(context.CancellationToken))
                _reports.Enqueue(requestStream.Current);

            HasSaidGoodbye = true;
            updates.Writer.TryComplete();
        }
    }

    public override Task<EnsureMirrorPartitionResponse> EnsureMirrorPartition(EnsureMirrorPartitionRequest request, ServerCallContext context) =>
        Refusal is { } refusal ? throw refusal : Task.FromResult(Ensure!(request));

    public async ValueTask DisposeAsync()
    {
        _updates?.Writer.TryComplete();
        await _server.DisposeAsync();
        _certificate.Dispose();
    }

    private sealed class EverybodyIsAnSpu : ICallerAuthenticator
    {
        public CallerIdentity Authenticate(X509Certificate2 certificate) => new(CallerRole.Spu, "spu-1");
    }
}
