using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace EdgeStream.Benchmarks.Mirroring;

/// <summary>What went over a TCP connection, both ways together, as the kernel counts it (<c>ss</c>).</summary>
/// <param name="Bytes">TLS and all above it, what was sent again included.</param>
/// <param name="Packets">Segments, those without data included.</param>
internal readonly record struct LinkTraffic(long Bytes, long Packets)
{
    // IPv4, TCP and its timestamps.
    private const int HeaderBytes = 20 + 20 + 12;

    /// <summary>With the headers of TCP and IP. Only for small messages: the loopback's packets are larger than a real link's.</summary>
    public long WithHeaders => Bytes + (Packets * HeaderBytes);

    public static LinkTraffic operator -(LinkTraffic later, LinkTraffic earlier) =>
        new(later.Bytes - earlier.Bytes, later.Packets - earlier.Packets);

    /// <summary>The connections of a process to a port.</summary>
    /// <param name="process">Its number.</param>
    /// <param name="port">The port.</param>
    /// <param name="networkNamespace">The one that the process is in; null for this one's.</param>
    public static LinkTraffic Of(int process, int port, string? networkNamespace = null)
    {
        string[] command = ["ss", "-tinpHO", "state", "established", $"( dport = :{port} )"];
        if (networkNamespace is not null)
            command = ["ip", "netns", "exec", networkNamespace, .. command];

        using Process ss = Process.Start(new ProcessStartInfo(command[0], command[1..]) { RedirectStandardOutput = true })!;
        string[] lines = ss.StandardOutput.ReadToEnd().Split('\n');
        ss.WaitForExit();
        var total = default(LinkTraffic);
        foreach (string line in lines.Where(line => line.Contains($"pid={process},", StringComparison.Ordinal)))
        {
            total = new LinkTraffic(
                total.Bytes + Field(line, "bytes_sent") + Field(line, "bytes_received"),
                total.Packets + Field(line, "segs_out") + Field(line, "segs_in"));
        }

        return total.Packets > 0 ? total : throw new InvalidOperationException($"process {process} has no connection to port {port}");
    }

    private static long Field(string line, string name)
    {
        Match found = Regex.Match(line, $@" {name}:(\d+)");
        return found.Success ? long.Parse(found.Groups[1].Value, CultureInfo.InvariantCulture) : 0;
    }
}
