using System.Security.Cryptography.X509Certificates;
using EdgeStream.Client;
using EdgeStream.Harness.Network;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Harness.Cluster;

/// <summary>What a cluster consists of besides three nats-servers.</summary>
public sealed record ClusterSize
{
    public int Controllers { get; init; } = 2;

    public int Spus { get; init; } = 3;

    public int Edges { get; init; }
}

/// <summary>A client's certificate and the CA's, as files.</summary>
public sealed record ClientFiles(string Certificate, string Key, string Authority);

/// <summary>
/// A whole cluster of real processes: nats-servers, SCs, SPUs with their identities, and edges that have joined. Free ports on loopback, or
/// each in a <see cref="SwitchedNetwork"/> of its own, where it can be cut off.
/// </summary>
public sealed class ClusterProcesses : IDisposable
{
    /// <summary>What edges mirror.</summary>
    public const string MirrorTopic = "readings";

    // A busy machine takes its time to start a dozen programs.
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(120);

    private readonly string _directory;
    private readonly SwitchedNetwork? _network;
    private readonly string _configuration;
    private readonly Dictionary<string, SwitchedHost> _hosts = new(StringComparer.Ordinal);
    private readonly List<NodeProcess> _controllers = [];
    private readonly List<NodeProcess> _spus = [];
    private readonly List<NodeProcess> _edges = [];
    private readonly List<string> _controllerEndpoints = [];
    private readonly Dictionary<string, ClusterMember> _members = new(StringComparer.Ordinal);
    private readonly Dictionary<string, ClientFiles> _files = new(StringComparer.Ordinal);

    /// <param name="directory">Where everything is kept; the caller's.</param>
    /// <param name="network">Where the cluster is to be; the caller's. Null for loopback.</param>
    public ClusterProcesses(string directory, SwitchedNetwork? network = null)
    {
        (_directory, _network) = (directory, network);
        Nats = new NatsCluster(directory, PlaceOf);
        foreach (NatsServer server in Nats.Servers)
            Enlist(server.Name, () => server.Process, server.StartAsync);

        _configuration = Path.Combine(directory, "cluster.toml");
        File.WriteAllText(_configuration, $"""
            [storage]
            engine = "jetstream"
            nats = [{string.Join(", ", Nats.Urls.Select(url => $"\"{url}\""))}]
            replicas = 3
            """);
    }

    public NatsCluster Nats { get; }

    public IReadOnlyList<NodeProcess> Controllers => _controllers;

    public IReadOnlyList<NodeProcess> Spus => _spus;

    public IReadOnlyList<NodeProcess> Edges => _edges;

    /// <summary>Where the SCs are.</summary>
    public IReadOnlyList<string> ControllerEndpoints => _controllerEndpoints;

    /// <summary>n1 to n3, sc1 on, spu1 on, edge1 on.</summary>
    public ClusterMember this[string name] => _members[name];

    /// <summary>Starts all, and waits until each is known and serves.</summary>
    public async Task StartAsync(ClusterSize size)
    {
        await Nats.StartAsync().ConfigureAwait(false);
        await Nats.WaitUntilHealthyAsync(Deadline).ConfigureAwait(false);
        for (int i = 1; i <= size.Controllers; i++)
            _controllerEndpoints.Add($"https://{PlaceOf($"sc{i}").Address}:{FreePort.Take()}");

        // The first makes the CA, which all have.
        NodeProcess first = AddController(1);
        await first.StartAsync().ConfigureAwait(false);
        await first.Process.WaitForLineAsync("this SC is the active one", Deadline).ConfigureAwait(false);
        foreach (string role in (string[])["admin", "producer", "consumer"])
        {
            string files = Path.Combine(_directory, "certificates");
            await first.CommandAsync("cert", "issue", role, "--role", role, "--out", files).ConfigureAwait(false);
            _files[role] = new ClientFiles(Path.Combine(files, role + ".crt"), Path.Combine(files, role + ".key"), Path.Combine(files, "hub-ca.crt"));
        }

        List<Task> starting = [];
        for (int i = 2; i <= size.Controllers; i++)
        {
            NodeProcess next = AddController(i);
            CopyAuthority(first, next);
            starting.Add(next.StartAsync());
        }

        for (int id = 1; id <= size.Spus; id++)
            starting.Add(AddSpuAsync(id));

        await Task.WhenAll(starting).ConfigureAwait(false);
        using EdgeStreamClient client = Connect("admin");
        await WaitUntilAsync(client, "all SPUs are there", topology => topology.Spus.Count(spu => spu.Online) == size.Spus).ConfigureAwait(false);
        for (int i = 1; i <= size.Edges; i++)
            await AddEdgeAsync($"edge{i}").ConfigureAwait(false);
    }

    /// <summary>Makes an identity for an SPU and starts it, also while the cluster runs.</summary>
    public async Task<NodeProcess> AddSpuAsync(int id)
    {
        string name = $"spu{id}", identity = Path.Combine(_directory, $"identity-{id}");
        await EdgeStreamProgram.RunGoodAsync(
            "spu", "certificate", $"{id}", "--data", _controllers[0].Data, "--out", identity).ConfigureAwait(false);
        (string address, string? space) = PlaceOf(name);
        NodeProcess spu = NodeProcess.Spu(
            _directory, $"{address}:{FreePort.Take()}", _configuration, name, identity, _controllerEndpoints, $"zone-{id}", space);
        _spus.Add(spu);
        Enlist(name, () => spu.Process, spu.StartAsync);
        await spu.StartAsync().ConfigureAwait(false);
        return spu;
    }

    /// <summary>Starts an edge and joins it by a token at an SC.</summary>
    /// <param name="name">Its name, and that of its geo-location.</param>
    /// <param name="topic">More lines for what it mirrors.</param>
    /// <param name="uplink">More lines for its uplink.</param>
    public async Task<NodeProcess> AddEdgeAsync(string name, string topic = "", string uplink = "")
    {
        NodeProcess edge = NodeProcess.Edge(
            _directory,
            $"""
            [[topic]]
            name = "{MirrorTopic}"
            mirror = true
            {topic}

            [uplink]
            progress-timeout = "3s"
            max-backoff = "1s"
            {uplink}
            """,
            name, PlaceOf(name).Namespace);
        _edges.Add(edge);
        Enlist(name, () => edge.Process, edge.StartAsync);
        await edge.StartAsync().ConfigureAwait(false);
        string token = await CommandAsync("geo", "invite", name).ConfigureAwait(false);
        string address = new Uri(await ActiveControllerEndpointAsync().ConfigureAwait(false)).Authority;
        await edge.CommandAsync("join", address, "--token", token).ConfigureAwait(false);
        return edge;
    }

    /// <summary>The certificate of a role, admin, producer or consumer, as files.</summary>
    public ClientFiles Files(string role) => _files[role];

    /// <summary>A client of the whole cluster, with the certificate of a role; the caller disposes it.</summary>
    public EdgeStreamClient Connect(string role)
    {
        ClientFiles files = Files(role);
        return new EdgeStreamClient(new ClientOptions
        {
            Endpoints = _controllerEndpoints,
            Certificate = X509Certificate2.CreateFromPemFile(files.Certificate, files.Key),
            Authority = X509CertificateLoader.LoadCertificateFromFile(files.Authority),
        });
    }

    /// <summary>What makes a command one of this cluster's admin.</summary>
    public IReadOnlyList<string> ConnectArguments()
    {
        ClientFiles files = Files("admin");
        return ["--connect", string.Join(',', _controllerEndpoints), "--cert", files.Certificate, "--key-file", files.Key, "--ca", files.Authority];
    }

    /// <summary>Runs a command as admin, at any SC that answers.</summary>
    public Task<string> CommandAsync(params string[] arguments) => EdgeStreamProgram.RunGoodAsync([.. arguments, .. ConnectArguments()]);

    /// <summary>Which SC is active, by what they say themselves.</summary>
    /// <param name="besides">One that does not count: another is waited for.</param>
    public async Task<ClusterMember> ActiveControllerAsync(ClusterMember? besides = null)
    {
        ClusterMember? active = null;
        await Condition.WaitAsync(
            () => $"one of the SCs is active{(besides is null ? "" : $", besides {besides.Name}")}",
            async () =>
            {
                foreach (NodeProcess controller in _controllers.Where(controller => controller.Name != besides?.Name && !controller.Process.HasExited))
                {
                    using EdgeStreamClient client = controller.Connect();
                    try
                    {
                        await client.GetTopologyAsync().WaitAsync(TimeSpan.FromSeconds(2)).ConfigureAwait(false);
                        active = this[controller.Name];
                        return true;
                    }
                    catch (Exception error) when (error is ClientException or TimeoutException)
                    {
                        // It stands by, or does not answer.
                    }
                }

                return false;
            },
            Deadline).ConfigureAwait(false);
        return active!;
    }

    /// <summary>Waits until the topology is as it should be.</summary>
    public static async Task WaitUntilAsync(EdgeStreamClient client, string what, Func<Topology, bool> condition)
    {
        string? problem = null;
        await Condition.WaitAsync(
            () => $"{what}{(problem is null ? "" : $" ({problem})")}",
            async () =>
            {
                try
                {
                    Topology topology = await client.GetTopologyAsync().ConfigureAwait(false);
                    problem = topology.ToString();
                    return condition(topology);
                }
                catch (ClientException error)
                {
                    problem = error.Message;
                    return false;
                }
            },
            Deadline).ConfigureAwait(false);
    }

    /// <summary>Waits until every process does its part: NATS has all replicas, the SPUs are there, and every partition is served by its leader.</summary>
    public async Task WaitUntilWellAsync(EdgeStreamClient client)
    {
        await Nats.WaitUntilHealthyAsync(Deadline).ConfigureAwait(false);
        int spus = _spus.Count(spu => !spu.Process.HasExited);
        await WaitUntilAsync(client, "all SPUs are there", topology => topology.Spus.Count(spu => spu.Online) == spus).ConfigureAwait(false);
        string? problem = null;
        await Condition.WaitAsync(
            () => $"every partition is served: {problem}",
            async () =>
            {
                try
                {
                    problem = (await client.ListPartitionsAsync().ConfigureAwait(false)).FirstOrDefault(status => status.Problem.Length > 0)?.ToString();
                }
                catch (ClientException error)
                {
                    problem = error.Message;
                }

                return problem is null;
            },
            Deadline).ConfigureAwait(false);
    }

    public void Dispose()
    {
        foreach (NodeProcess node in (NodeProcess[])[.. _edges, .. _spus, .. _controllers])
            node.Dispose();

        Nats.Dispose();
    }

    /// <summary>The last lines of all, for a test that has failed.</summary>
    public string Output() => string.Join('\n', _members.Values.Select(member => $"== {member.Name}\n{LastLines(member)}"));

    private static string LastLines(ClusterMember member) => string.Join('\n', member.Process.Output.Split('\n').TakeLast(40));

    private async Task<string> ActiveControllerEndpointAsync()
    {
        ClusterMember active = await ActiveControllerAsync().ConfigureAwait(false);
        return _controllerEndpoints[_controllers.FindIndex(controller => controller.Name == active.Name)];
    }

    private NodeProcess AddController(int number)
    {
        string name = $"sc{number}";
        NodeProcess controller = NodeProcess.Controller(
            _directory, new Uri(_controllerEndpoints[number - 1]).Authority, _configuration, name, PlaceOf(name).Namespace);
        _controllers.Add(controller);
        Enlist(name, () => controller.Process, controller.StartAsync);
        return controller;
    }

    private static void CopyAuthority(NodeProcess from, NodeProcess to)
    {
        string authority = Directory.CreateDirectory(Path.Combine(to.Data, "ca")).FullName;
        foreach (string file in Directory.GetFiles(Path.Combine(from.Data, "ca")))
            File.Copy(file, Path.Combine(authority, Path.GetFileName(file)));
    }

    private void Enlist(string name, Func<ChildProcess> process, Func<Task> start)
    {
        Action<bool>? cut = null;
        if (_network is { } network)
            cut = isCut => (isCut ? (Action<string>)network.Cut : network.Join)(name);

        _members[name] = new ClusterMember(name, process, start, cut);
    }

    private (string Address, string? Namespace) PlaceOf(string name)
    {
        if (_network is null)
            return ("127.0.0.1", null);

        if (!_hosts.TryGetValue(name, out SwitchedHost? host))
            _hosts[name] = host = _network.Add(name);

        return (host.Address, host.Namespace.Name);
    }
}
