using System.Globalization;
using System.Net;
using EdgeStream.Storage;

namespace EdgeStream.Agent.Hosting.DataCenter;

/// <summary>How the others of a cluster, edges and clients reach this process.</summary>
internal static class AdvertisedEndpoint
{
    /// <exception cref="EdgeStreamException">It cannot be told from where it listens.</exception>
    public static string Of(ClusterOptions cluster, IPEndPoint listen)
    {
        if (cluster.Advertise is { } chosen)
            return chosen;

        if (listen.Port == 0)
            throw new EdgeStreamException("with --listen and port 0 nobody could know where this is reached; choose a port, or say it with --advertise");

        bool isAny = listen.Address.Equals(IPAddress.Any) || listen.Address.Equals(IPAddress.IPv6Any);
        string host = isAny ? Dns.GetHostName() : listen.Address.AddressFamily == System.Net.Sockets.AddressFamily.InterNetworkV6 ? $"[{listen.Address}]" : listen.Address.ToString();
        return string.Create(CultureInfo.InvariantCulture, $"https://{host}:{listen.Port}");
    }
}
