using System.Net.Sockets;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http;

namespace EdgeStream.Cluster.Grpc;

/// <summary>What a caller may be. One certificate has one role.</summary>
public enum CallerRole
{
    /// <summary>Over TLS, without a client certificate.</summary>
    Anonymous,

    /// <summary>Reads records and the topology.</summary>
    Consumer,

    /// <summary>Appends records.</summary>
    Producer,

    /// <summary>A joined edge: mirrors its own partitions.</summary>
    GeoLocation,

    /// <summary>A joined edge whose certificate has expired: gets another one, and nothing else.</summary>
    ExpiredGeoLocation,

    /// <summary>An SPU, at its SC.</summary>
    Spu,

    /// <summary>May do everything that is served on the network.</summary>
    Admin,

    /// <summary>On the local socket, whose file mode decides who gets there.</summary>
    Local,
}

/// <summary>Who makes a call, as its connection proves it.</summary>
/// <param name="Role">What the caller may be.</param>
/// <param name="Name">
/// The certificate's name, for a geo-location that of the geo-location, also where it is refused; empty for the others.
/// </param>
/// <param name="Problem">Why a certificate that was presented does not count, or null.</param>
/// <param name="KeyFingerprint">
/// Of a geo-location's good certificate: SHA-256 (hex) of the key that was presented, so that a call that lasts can be told from
/// those of a card that has taken its place; null for the others.
/// </param>
public sealed record CallerIdentity(CallerRole Role, string Name, string? Problem = null, string? KeyFingerprint = null)
{
    public static CallerIdentity Anonymous { get; } = new(CallerRole.Anonymous, "");

    public static CallerIdentity Local { get; } = new(CallerRole.Local, "");

    /// <summary>A geo-location whose certificate proves who it is, and is good for a newer one only.</summary>
    public static CallerIdentity Expired(string geoLocation, string problem) => new(CallerRole.ExpiredGeoLocation, geoLocation, problem);

    /// <summary>A certificate was presented that gives no right.</summary>
    /// <param name="problem">Why.</param>
    /// <param name="geoLocation">Whose card it is, where it proves that all the same.</param>
    public static CallerIdentity Rejected(string problem, string geoLocation = "") => new(CallerRole.Anonymous, geoLocation, problem);

    /// <summary>The identity behind a call. A connection that is neither local nor TLS has none.</summary>
    public static CallerIdentity Of(HttpContext context, ICallerAuthenticator authenticator)
    {
        // By what the socket is, not by what it lacks: a connection of which nothing is known is not local.
        if (context.Features.Get<IConnectionSocketFeature>()?.Socket.AddressFamily == AddressFamily.Unix)
            return Local;

        return context.Connection.ClientCertificate is { } certificate ? authenticator.Authenticate(certificate) : Anonymous;
    }
}
