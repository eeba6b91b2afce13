namespace EdgeStream.Harness;

/// <summary>A real nats-server with JetStream and a data directory that outlives it; one alone, or of a cluster.</summary>
public sealed class NatsServer : IDisposable
{
    private readonly string _configuration;
    private ChildProcess? _process;

    /// <param name="directory">Where it keeps its files.</param>
    /// <param name="name">Its name, which no other of the cluster has.</param>
    /// <param name="clusterPort">Where it listens for the others; null for one alone.</param>
    /// <param name="routes">Where all of the cluster listen for each other.</param>
    /// <param name="settings">More lines of its configuration.</param>
    /// <param name="jetStream">Whether it has JetStream.</param>
    public NatsServer(
        string directory, string name = "n1", int? clusterPort = null, IEnumerable<int>? routes = null, string settings = "", bool jetStream = true)
    {
        Port = FreePort.Take();
        string home = Path.Combine(directory, name);
        Directory.CreateDirectory(home);
        _configuration = Path.Combine(home, "nats.conf");
        string cluster = clusterPort is null
            ? ""
            : $"cluster {{ name: test, listen: \"127.0.0.1:{clusterPort}\", routes: [{string.Join(", ", (routes ?? []).Select(port => $"\"nats://127.0.0.1:{port}\""))}] }}";
        File.WriteAllText(_configuration, $$"""
            server_name: {{name}}
            listen: "127.0.0.1:{{Port}}"
            {{(jetStream ? $"jetstream {{ store_dir: \"{home}/store\", max_mem: 64MB, max_file: 2GB }}" : "")}}
            {{cluster}}
            {{settings}}
            """);
    }

    public int Port { get; }

    public string Url => $"nats://127.0.0.1:{Port}";

    public string Output => _process?.Output ?? "";

    public async Task StartAsync()
    {
        _process?.Dispose();
        _process = ChildProcess.Start("nats-server", "nats-server", ["-c", _configuration]);
        await _process.WaitForLineAsync("Server is ready").ConfigureAwait(false);
    }

    public void Kill() => _process!.Kill();

    /// <summary>As a machine that hangs: connections stay open, and nobody answers.</summary>
    public void Freeze() => _process!.Signal("STOP");

    public void Thaw() => _process!.Signal("CONT");

    public void Dispose() => _process?.Dispose();
}

/// <summary>Three nats-servers that are one cluster.</summary>
public sealed class NatsCluster : IDisposable
{
    public NatsCluster(string directory)
    {
        int[] routes = [FreePort.Take(), FreePort.Take(), FreePort.Take()];
        Servers = [.. routes.Select((port, i) => new NatsServer(directory, $"n{i + 1}", port, routes))];
    }

    public IReadOnlyList<NatsServer> Servers { get; }

    public IReadOnlyList<string> Urls => [.. Servers.Select(server => server.Url)];

    public Task StartAsync() => Task.WhenAll(Servers.Select(server => server.StartAsync()));

    public void Dispose()
    {
        foreach (NatsServer server in Servers)
            server.Dispose();
    }
}
