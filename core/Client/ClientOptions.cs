using System.Security.Cryptography.X509Certificates;

namespace EdgeStream.Client;

/// <summary>Where a cluster is, and who asks. One of <see cref="Endpoint"/> and <see cref="Endpoints"/> is to be set.</summary>
public sealed record ClientOptions
{
    /// <summary>The first of <see cref="Endpoints"/>, and where it is set the only one.</summary>
    public string Endpoint
    {
        get => Endpoints[0];
        init => Endpoints = [value];
    }

    /// <summary>
    /// The SCs, first points of contact, of which any that answers will do: <c>unix:/run/edgestream/edgestream.sock</c>, or
    /// <c>https://host:9443</c> with the two certificates below.
    /// </summary>
    public IReadOnlyList<string> Endpoints { get; init; } = [];

    /// <summary>
    /// How long a call is made again and again while there is an SC that stands by and none that is active, or an SPU that is not ready yet:
    /// another takes over within seconds. What cannot be reached at all, or refuses, is an error at once; with zero this is, too.
    /// </summary>
    public TimeSpan Patience { get; init; } = TimeSpan.Zero;

    /// <summary>The client's certificate with its key, as <c>edgestream cert issue</c> makes it.</summary>
    public X509Certificate2? Certificate { get; init; }

    /// <summary>The cluster's CA. The server must have a certificate of it; nothing else is trusted.</summary>
    public X509Certificate2? Authority { get; init; }
}
