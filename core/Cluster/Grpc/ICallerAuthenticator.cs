using System.Security.Cryptography.X509Certificates;

namespace EdgeStream.Cluster.Grpc;

/// <summary>Tells whom a client certificate belongs to. Asked at each call, so that a revocation counts at once.</summary>
public interface ICallerAuthenticator
{
    /// <summary>
    /// The identity that a certificate proves; <see cref="CallerIdentity.Rejected"/> for one that was not issued here, has
    /// expired or was revoked. TLS has proved before that the caller holds its key.
    /// </summary>
    CallerIdentity Authenticate(X509Certificate2 certificate);
}

/// <summary>For a node that serves its local socket only: knows nobody.</summary>
public sealed class NoAuthenticator : ICallerAuthenticator
{
    public CallerIdentity Authenticate(X509Certificate2 certificate) =>
        CallerIdentity.Rejected("this node accepts no certificates");
}
