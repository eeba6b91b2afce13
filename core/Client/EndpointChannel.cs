using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Storage;
using Grpc.Net.Client;

namespace EdgeStream.Client;

/// <summary>Opens channels to the two kinds of endpoints.</summary>
public static class EndpointChannel
{
    private const string UnixPrefix = "unix:";

    // A link may be slow; but where another may be asked, nobody waits long for one that is gone.
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan ConnectTimeoutOfSeveral = TimeSpan.FromSeconds(3);

    // A node that hangs with its connections open is found out by its silence: together within the 5 s in which writing is to go on.
    private static readonly TimeSpan PingAfter = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan PingTimeout = TimeSpan.FromSeconds(2);

    /// <summary>The caller disposes it.</summary>
    /// <exception cref="EdgeStreamException">The endpoint is none.</exception>
    public static GrpcChannel Open(string endpoint, ClientOptions options)
    {
        SocketsHttpHandler handler = endpoint.StartsWith(UnixPrefix, StringComparison.Ordinal)
            ? UnixHandler(endpoint[UnixPrefix.Length..])
            : TlsHandler(endpoint, options);
        handler.UseProxy = false;
        handler.ConnectTimeout = options.Endpoints.Count > 1 ? ConnectTimeoutOfSeveral : ConnectTimeout;
        handler.EnableMultipleHttp2Connections = true;
        handler.KeepAlivePingDelay = PingAfter;
        handler.KeepAlivePingTimeout = PingTimeout;
        handler.KeepAlivePingPolicy = HttpKeepAlivePingPolicy.WithActiveRequests;

        string address = endpoint.StartsWith(UnixPrefix, StringComparison.Ordinal) ? "http://localhost" : endpoint;
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

    private static SocketsHttpHandler TlsHandler(string endpoint, ClientOptions options)
    {
        if (!Uri.TryCreate(endpoint, UriKind.Absolute, out Uri? uri) || uri.Scheme != Uri.UriSchemeHttps)
            throw new EdgeStreamException($"'{endpoint}' is no endpoint; write unix:/path/to/socket or https://host:port");

        X509Certificate2 authority = options.Authority
            ?? throw new EdgeStreamException($"{endpoint} needs the cluster's CA certificate (--ca FILE)");
        X509Certificate2? client = options.Certificate;
        return new SocketsHttpHandler
        {
            SslOptions = new SslClientAuthenticationOptions
            {
                EnabledSslProtocols = SslProtocols.Tls13,
                ClientCertificates = client is null ? null : [client],
                LocalCertificateSelectionCallback = client is null ? null : (_, _, _, _, _) => client,
                CertificateChainPolicy = ServerPolicy(authority),

                RemoteCertificateValidationCallback = (_, _, chain, errors) => FindProblem(chain, errors) is { } problem
                    ? throw new AuthenticationException(problem)
                    : true,
            },
        };
    }

    /// <summary>
    /// Why a server is not taken for one of the cluster; null where it is. The chain decides, and not the name: the cluster's CA gives server
    /// certificates to nobody but the cluster.
    /// </summary>
    private static string? FindProblem(X509Chain? chain, SslPolicyErrors errors)
    {
        if ((errors & ~SslPolicyErrors.RemoteCertificateNameMismatch) == SslPolicyErrors.None)
            return null;

        const X509ChainStatusFlags OfAnother =
            X509ChainStatusFlags.PartialChain | X509ChainStatusFlags.UntrustedRoot | X509ChainStatusFlags.NotSignatureValid;
        X509ChainStatusFlags flags = chain?.ChainStatus.Aggregate(X509ChainStatusFlags.NoError, (all, status) => all | status.Status) ?? default;
        if ((flags & OfAnother) != 0)
            return "what answers there has a certificate of another CA than --ca";

        return (flags & X509ChainStatusFlags.NotTimeValid) != 0
            ? "the certificate of what answers there is not valid today; is this machine's clock right?"
            : "what answers there has no certificate of a server";
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
