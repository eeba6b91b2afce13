using System.Security.Cryptography.X509Certificates;

namespace EdgeStream.Client;

/// <summary>Where a cluster is, and who asks.</summary>
public sealed record ClientOptions
{
    /// <summary>
    /// The SC, first point of contact: <c>unix:/run/edgestream/edgestream.sock</c>, or <c>https://host:9443</c> with the two
    /// certificates below.
    /// </summary>
    public required string Endpoint { get; init; }

    /// <summary>The client's certificate with its key, as <c>edgestream cert issue</c> makes it.</summary>
    public X509Certificate2? Certificate { get; init; }

    /// <summary>The cluster's CA. The server must have a certificate of it; nothing else is trusted.</summary>
    public X509Certificate2? Authority { get; init; }
}
