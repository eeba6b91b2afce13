using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;

namespace EdgeStream.Agent.Configuration;

/// <summary>Where a node serves its metrics and its health over HTTP.</summary>
/// <param name="Endpoint">The address, port 0 for a free one; null where it serves neither.</param>
/// <param name="IsChosen">Somebody wants it there. The default gives way where its port is in use.</param>
public sealed record HttpListen(IPEndPoint? Endpoint, bool IsChosen)
{
    public const int DefaultPort = 9440;

    /// <summary>For messages about text that cannot be read.</summary>
    public const string Example = "write for instance 127.0.0.1:9440, or none";

    public static HttpListen Default { get; } = new(new IPEndPoint(IPAddress.Loopback, DefaultPort), IsChosen: false);

    /// <summary>Reads <c>ADDRESS:PORT</c> or <c>none</c>.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out HttpListen? listen)
    {
        listen = null;
        if (text == "none")
            listen = new HttpListen(null, IsChosen: true);

        // An address alone parses too, as port 0, and "::0" is one.
        else if (IPEndPoint.TryParse(text, out IPEndPoint? endpoint)
            && text.EndsWith($"{(endpoint.AddressFamily == AddressFamily.InterNetworkV6 ? "]" : "")}:{endpoint.Port}", StringComparison.Ordinal))
            listen = new HttpListen(endpoint, IsChosen: true);

        return listen is not null;
    }
}
