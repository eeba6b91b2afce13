using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Storage;
using Grpc.Net.Client;

namespace EdgeStream.Client;

/// <summary>Opens channels to the two kinds of endpoints.</summary>
internal static class EndpointChannel
{
    private const string UnixPrefix = "unix:";
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(10);

    public static GrpcChannel Open(ClientOptions options)
    {
        SocketsHttpHandler handler = options.Endpoint.StartsWith(UnixPrefix, StringComparison.Ordinal)
            ? UnixHandler(options.Endpoint[UnixPrefix.Length..])
            : TlsHandler(options);
        handler.UseProxy = false;
        handler.ConnectTimeout = ConnectTimeout;
        handler.EnableMultipleHttp2Connections = true;

        string address = options.Endpoint.StartsWith(UnixPrefix, StringComparison.Ordinal) ? "http://localhost" : options.Endpoint;
        return GrpcChannel.ForAddress(address, new GrpcChannelOptions
        {
            HttpHandler = handler,
            DisposeHttpClient = true,
            MaxReceiveMessageSize = null,
            MaxSendMessageSize = null,
        });
    }

    private static SocketsHttpHandler UnixHandler(string path) => new()
    {
        ConnectCallback = async (_, cancellationToken) =>
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellationToken).ConfigureAwait(false);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        },
    };

    private static SocketsHttpHandler TlsHandler(ClientOptions options)
    {
        if (!Uri.TryCreate(options.Endpoint, UriKind.Absolute, out Uri? uri) || uri.Scheme != Uri.UriSchemeHttps)
            throw new EdgeStreamException($"'{options.Endpoint}' is no endpoint; write unix:/path/to/socket or https://host:port");

        X509Certificate2 authority = options.Authority
            ?? throw new EdgeStreamException($"{options.Endpoint} needs the cluster's CA certificate (--ca FILE)");
        X509Certificate2? client = options.Certificate;
        return new SocketsHttpHandler
        {
            SslOptions = new SslClientAuthenticationOptions
            {
                EnabledSslProtocols = SslProtocols.Tls13,
                ClientCertificates = client is null ? null : [client],
                LocalCertificateSelectionCallback = client is null ? null : (_, _, _, _, _) => client,
                CertificateChainPolicy = ServerPolicy(authority),

                // The chain decides: the cluster's CA gives server certificates to nobody but the cluster.
                RemoteCertificateValidationCallback = (_, _, _, errors) =>
                    (errors & ~SslPolicyErrors.RemoteCertificateNameMismatch) == SslPolicyErrors.None,
            },
        };
    }

    private static X509ChainPolicy ServerPolicy(X509Certificate2 authority)
    {
        const string ServerAuthentication = "1.3.6.1.5.5.7.3.1";
        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
            DisableCertificateDownloads = true,
        };
        policy.CustomTrustStore.Add(authority);
        policy.ApplicationPolicy.Add(new System.Security.Cryptography.Oid(ServerAuthentication));
        return policy;
    }
}
