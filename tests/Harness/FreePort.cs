using System.Net;
using System.Net.Sockets;

namespace EdgeStream.Harness;

/// <summary>Ports for programs that have to be told one, and that must keep it across restarts.</summary>
public static class FreePort
{
    public static int Take()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
