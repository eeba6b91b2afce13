using System.Net;
using EdgeStream.Agent.Configuration;
using EdgeStream.Cluster.Nats;
using EdgeStream.Mirror.Hub;

namespace EdgeStream.Agent.Hosting;

/// <summary>Where a node keeps its state and where it listens.</summary>
/// <param name="Data">The data directory.</param>
/// <param name="Socket">The local Unix socket.</param>
/// <param name="Listen">The network API; null at an edge, where nothing listens.</param>
/// <param name="Budget">How much disk the data directory may use, in bytes; null for the default.</param>
/// <param name="Http">Metrics and health; null for the default.</param>
internal sealed record NodeOptions(string Data, string Socket, IPEndPoint? Listen = null, long? Budget = null, HttpListen? Http = null)
{
    /// <summary>At a hub: how long the certificates are valid that it issues for geo-locations.</summary>
    public TimeSpan CertificateLife { get; init; } = HubAuthority.DefaultGeoLocationLife;

    /// <summary>At a hub: the NATS servers that keep its partitions; null where the segment log does.</summary>
    public JetStreamOptions? JetStream { get; init; }
}
