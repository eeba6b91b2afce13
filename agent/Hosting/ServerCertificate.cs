using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Mirror.Enrolment;

namespace EdgeStream.Agent.Hosting;

/// <summary>The hub's certificate on the network: made anew at each start, its key only ever in memory.</summary>
internal static class ServerCertificate
{
    // A process that runs longer than this is not expected, and edges do not look at the dates anyway: their clocks lie.
    private static readonly TimeSpan Validity = TimeSpan.FromDays(10 * 365);

    public static X509Certificate2 Create(CertificateAuthority authority)
    {
        IEnumerable<string> addresses = NetworkInterface.GetAllNetworkInterfaces()
            .SelectMany(network => network.GetIPProperties().UnicastAddresses)
            .Select(unicast => unicast.Address)
            .Where(address => address.AddressFamily is AddressFamily.InterNetwork or AddressFamily.InterNetworkV6 && !address.IsIPv6LinkLocal)
            .Select(address => address.ToString());
        return authority.IssueServer(["localhost", Dns.GetHostName(), .. addresses], Validity);
    }
}
