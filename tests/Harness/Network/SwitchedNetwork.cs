using System.Collections.Concurrent;
using System.Globalization;

namespace EdgeStream.Harness.Network;

/// <summary>A machine of a <see cref="SwitchedNetwork"/>.</summary>
/// <param name="Namespace">Where its programs run.</param>
/// <param name="Address">Its address, which this process can reach.</param>
public sealed record SwitchedHost(NetworkNamespace Namespace, string Address);

/// <summary>
/// Machines, each in a network of its own, at one switch, and this process too. A machine that is cut off sees no more of it than that nobody
/// answers: packets vanish, connections stay. Safe from any thread.
/// </summary>
public sealed class SwitchedNetwork : IDisposable
{
    private const string Bridge = "switch0";
    private const int MostNetworks = 256;

    // For measuring instruments; no other network has them.
    private const string Prefix = "198.18";

    private static int _networks;

    private readonly string _name;
    private readonly string _uplink;
    private readonly string _network;
    private readonly NetworkNamespace _switch;
    private readonly ConcurrentDictionary<string, SwitchedHost> _hosts = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, string> _ports = new(StringComparer.Ordinal);
    private int _lastHost = 1;

    /// <exception cref="InvalidOperationException">This process may not, or a program is missing.</exception>
    public SwitchedNetwork()
    {
        if (!Environment.IsPrivilegedProcess)
            throw new InvalidOperationException("tests on networks of their own need root: run them with sudo");

        Leftovers.Remove();
        _name = Leftovers.NewName();
        _switch = new NetworkNamespace(_name + "-switch");
        int number = Environment.ProcessId + Interlocked.Increment(ref _networks);
        _uplink = string.Create(CultureInfo.InvariantCulture, $"estest{number}");
        try
        {
            _switch.Ip("link", "add", Bridge, "type", "bridge");
            _switch.Ip("link", "set", Bridge, "up");
            SystemTool.Run("ip", "link", "add", _uplink, "type", "veth", "peer", "name", "uplink0", "netns", _switch.Name);
            _switch.Ip("link", "set", "uplink0", "master", Bridge, "up");
            SystemTool.Run("ip", "link", "set", _uplink, "up");
            _network = TakeNetwork(number);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Puts a machine at the switch.</summary>
    public SwitchedHost Add(string name)
    {
        int number = Interlocked.Increment(ref _lastHost);
        var space = new NetworkNamespace($"{_name}-{name}");
        var host = new SwitchedHost(space, $"{_network}.{number}");
        _hosts[name] = host;
        _ports[name] = $"port{number}";
        _switch.Ip("link", "add", _ports[name], "type", "veth", "peer", "name", "eth0", "netns", space.Name);
        space.Ip("link", "set", "eth0", "up");
        space.Ip("addr", "add", host.Address + "/24", "dev", "eth0");
        _switch.Ip("link", "set", _ports[name], "up");
        Join(name);
        return host;
    }

    /// <summary>What a machine sends and what is sent to it vanishes from now on.</summary>
    public void Cut(string name) => _switch.Ip("link", "set", _ports[name], "nomaster");

    /// <summary>The end of <see cref="Cut"/>.</summary>
    public void Join(string name) => _switch.Ip("link", "set", _ports[name], "master", Bridge);

    public void Dispose()
    {
        foreach (SwitchedHost host in _hosts.Values)
            host.Namespace.Dispose();

        // The other end of the pair goes with it.
        SystemTool.TryRun("ip", "link", "del", _uplink);
        _switch.Dispose();
    }

    /// <summary>Gives this process an address in a network that no other run has, beginning the search at a number.</summary>
    private string TakeNetwork(int number)
    {
        for (int i = 0; i < MostNetworks; i++)
        {
            string network = $"{Prefix}.{(number + i) % MostNetworks}";
            if (SystemTool.TryRun(out string known, "ip", "-o", "-4", "addr") is null && known.Contains($" {network}.1/", StringComparison.Ordinal))
                continue;

            SystemTool.Run("ip", "addr", "add", $"{network}.1/24", "dev", _uplink);
            return network;
        }

        throw new InvalidOperationException($"all networks of {Prefix}.0.0/16 are taken");
    }
}
