using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Mirror.Enrolment;
using Grpc.Net.Client;

namespace EdgeStream.Mirror.Uplink;

/// <summary>Connections to a hub: TLS 1.3, and the hub must prove that its pinned CA has signed it as a server.</summary>
/// <remarks>
/// The host name is not compared: edges know their hub by whatever address reaches it, and no other server has a certificate
/// of that CA. Neither are the dates: the edge's clock may be decades off.
/// </remarks>
internal static class HubChannel
{
    /// <summary>How long TCP and TLS may take.</summary>
    public static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(10);

    /// <summary>A channel with this edge's identity.</summary>
    public static GrpcChannel Open(EdgeIdentity identity, Uri address, TimeSpan keepAlive, WireMeter meter) =>
        Open(address, identity.Authority, identity.Certificate, keepAlive, meter);

    /// <summary>A channel to a hub of which only the CA is known.</summary>
    public static GrpcChannel Open(Uri hub, X509Certificate2 authority) => Open(hub, authority, client: null, keepAlive: null, meter: null);

    /// <summary>A channel to whoever answers: for a question whose answer proves itself, and nothing else.</summary>
    [SuppressMessage(
        "Security", "CA5359", Justification = "Asks for the CA certificate only, which the caller compares with a fingerprint.")]
    public static GrpcChannel OpenUnverified(Uri hub) => Open(hub, (_, _, _, _) => true, client: null, keepAlive: null, meter: null);

    private static GrpcChannel Open(
        Uri hub, X509Certificate2 authority, X509Certificate2? client, TimeSpan? keepAlive, WireMeter? meter) => Open(
        hub,
        (_, certificate, _, _) => certificate is X509Certificate2 presented
            && PinnedChain.FindProblem(presented, authority, CertificateRoles.ServerAuthentication, at: null) is null,
        client,
        keepAlive,
        meter);

    private static GrpcChannel Open(
        Uri hub, RemoteCertificateValidationCallback validate, X509Certificate2? client, TimeSpan? keepAlive, WireMeter? meter)
    {
        var handler = new SocketsHttpHandler
        {
            ConnectTimeout = ConnectTimeout,
            UseProxy = false,
            PooledConnectionIdleTimeout = Timeout.InfiniteTimeSpan,
            SslOptions = new SslClientAuthenticationOptions
            {
                EnabledSslProtocols = SslProtocols.Tls13,
                RemoteCertificateValidationCallback = validate,
                ClientCertificates = client is null ? null : [client],

                // Without this .NET sends no certificate whose issuer the server has not named.
                LocalCertificateSelectionCallback = client is null ? null : (_, _, _, _, _) => client,
            },
        };
        if (meter is not null)
            handler.ConnectCallback = (context, cancellationToken) => ConnectAsync(context.DnsEndPoint, meter, cancellationToken);

        if (keepAlive is { } period)
        {
            handler.KeepAlivePingDelay = period;
            handler.KeepAlivePingTimeout = period;
        }

        return GrpcChannel.ForAddress(hub, new GrpcChannelOptions
        {
            HttpHandler = handler,
            DisposeHttpClient = true,
            MaxReceiveMessageSize = null,
        });
    }

    private static async ValueTask<Stream> ConnectAsync(DnsEndPoint hub, WireMeter meter, CancellationToken cancellationToken)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(hub, cancellationToken).ConfigureAwait(false);
            return meter.Meter(new NetworkStream(socket, ownsSocket: true));
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
