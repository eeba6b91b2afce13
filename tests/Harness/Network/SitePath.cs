namespace EdgeStream.Harness.Network;

/// <summary>The two ends of a <see cref="SitePath"/>, and the directions: from the edge is up, from the hub is down.</summary>
[Flags]
public enum PathEnd
{
    Edge = 1,
    Hub = 2,
}

/// <summary>What a middle box does with a connection that it has forgotten.</summary>
public enum ForgottenConnection
{
    /// <summary>Packets vanish.</summary>
    Swallowed,

    /// <summary>Who sends is told by a reset.</summary>
    Reset,
}

/// <summary>
/// A real network path: an edge, a router and a hub, each in a network of its own, with faults on demand. The router alone is
/// touched, so that neither end sees more of a fault than it would of a real one. Faults of different kinds add up.
/// </summary>
public sealed class SitePath : IDisposable
{
    /// <summary>The hub's name, known at the edge.</summary>
    public const string HubName = "hub.test";

    private const string EdgeLink = "edge0";
    private const string HubLink = "hub0";

    private readonly Dictionary<string, string> _rules = [];
    private readonly NetworkNamespace _router;
    private ShapedLink? _shaped;
    private int _edgeNumber = 2;
    private int _hubNumber = 2;

    /// <exception cref="InvalidOperationException">This process may not, or a program is missing.</exception>
    public SitePath()
    {
        if (!Environment.IsPrivilegedProcess)
            throw new InvalidOperationException("tests on a network path of their own need root: run them with sudo");

        Leftovers.Remove();
        string name = Leftovers.NewName();
        Edge = new NetworkNamespace(name + "-edge");
        Hub = new NetworkNamespace(name + "-hub");
        _router = new NetworkNamespace(name + "-router");
        try
        {
            WireUp();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public NetworkNamespace Edge { get; }

    public NetworkNamespace Hub { get; }

    public string EdgeAddress => EdgeNetwork(_edgeNumber);

    public string HubAddress => HubNetwork(_hubNumber);

    /// <summary>Pulls the plug at one end, or puts it in again: the end sees that its link is down.</summary>
    public void SetPlugged(PathEnd ends, bool plugged)
    {
        foreach (string link in LinksTo(ends))
            _router.Ip("link", "set", link, plugged ? "up" : "down");
    }

    /// <summary>The router drops what comes from an end, or from both; <c>default</c> ends it. Neither end is told.</summary>
    public void Block(PathEnd from) => Rule("block", string.Concat(LinksTo(from).Select(link => $"iifname {link} drop\n")));

    /// <summary>So many of a hundred packets are lost, in both directions; 0 ends it.</summary>
    public void Lose(int percent) => Rule("lose", percent == 0 ? "" : $"numgen random mod 100 < {percent} drop\n");

    /// <summary>
    /// Puts in a middle box that forgets connections on which nothing has passed for so long, and knows none that began without
    /// it. Called again, it goes by the new time from a connection's next packet on.
    /// </summary>
    public void ForgetIdle(TimeSpan after, ForgottenConnection then = ForgottenConnection.Swallowed)
    {
        _router.Set("netfilter/nf_conntrack_tcp_timeout_established", $"{(int)after.TotalSeconds}");
        Rule("box", then == ForgottenConnection.Swallowed ? "ct state invalid drop\n" : "ct state invalid reject with tcp reset\n");
    }

    /// <summary>Makes the path slow or long; null makes it as fast as the machine.</summary>
    public void Shape(LinkShape? shape)
    {
        _shaped?.Dispose();
        _shaped = null;
        if (shape is not null)
            _shaped = new ShapedLink(_router, EdgeLink, HubLink, shape);
    }

    /// <summary>The edge gets another address, as from another network's DHCP; the one that it had is gone.</summary>
    public void ChangeEdgeAddress() => Readdress(Edge, EdgeNetwork(1), EdgeNetwork(_edgeNumber = Next(_edgeNumber)));

    /// <summary>The hub moves to another address under the same name.</summary>
    public void ChangeHubAddress()
    {
        Readdress(Hub, HubNetwork(1), HubNetwork(_hubNumber = Next(_hubNumber)));
        Edge.SetHost(HubName, HubAddress);
    }

    /// <summary>All faults are over.</summary>
    public void Heal()
    {
        SetPlugged(PathEnd.Edge | PathEnd.Hub, true);
        _rules.Clear();
        ApplyRules();
        Shape(null);
    }

    public void Dispose()
    {
        _shaped?.Dispose();
        Edge.Dispose();
        Hub.Dispose();
        _router.Dispose();
    }

    private static IEnumerable<string> LinksTo(PathEnd ends)
    {
        if (ends.HasFlag(PathEnd.Edge))
            yield return EdgeLink;

        if (ends.HasFlag(PathEnd.Hub))
            yield return HubLink;
    }

    private static string EdgeNetwork(int number) => $"10.77.1.{number}";

    private static string HubNetwork(int number) => $"10.77.2.{number}";

    private static int Next(int number) => number == 250 ? 2 : number + 1;

    private void WireUp()
    {
        // Packets come back from a shaped stretch by another interface than the one that leads to where they are from.
        _router.Set("ipv4/conf/all/rp_filter", "0");
        _router.Set("ipv4/conf/default/rp_filter", "0");
        _router.Set("ipv4/ip_forward", "1");

        // A connection that a middle box has not seen from its beginning is none.
        _router.Set("netfilter/nf_conntrack_tcp_loose", "0");
        Connect(Edge, EdgeLink, EdgeNetwork(1), EdgeNetwork(_edgeNumber));
        Connect(Hub, HubLink, HubNetwork(1), HubNetwork(_hubNumber));
        Edge.SetHost(HubName, HubAddress);
    }

    private void Connect(NetworkNamespace end, string link, string routerAddress, string address)
    {
        _router.Ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", end.Name);
        _router.Ip("addr", "add", routerAddress + "/24", "dev", link);
        _router.Ip("link", "set", link, "up");
        end.Ip("link", "set", "eth0", "up");
        Readdress(end, routerAddress, address);
    }

    private static void Readdress(NetworkNamespace end, string routerAddress, string address)
    {
        end.Ip("addr", "flush", "dev", "eth0");
        end.Ip("addr", "add", address + "/24", "dev", "eth0");

        // TCP as most devices have it, whatever this machine has.
        end.Ip("route", "add", "default", "via", routerAddress, "congctl", "cubic");
    }

    private void Rule(string name, string text)
    {
        _rules[name] = text;
        ApplyRules();
    }

    /// <summary>Replaces all rules at once: no packet sees half of them.</summary>
    private void ApplyRules() => _router.Run("nft", $$"""
        table ip path
        delete table ip path
        table ip path {
        chain forward {
        type filter hook forward priority 0
        {{string.Concat(_rules.Values)}}
        }
        }

        """, "-f", "-");
}
