using System.Text.Json;

namespace EdgeStream.Harness;

/// <summary>A real nats-server with JetStream and a data directory that outlives it; one alone, or of a cluster.</summary>
public sealed class NatsServer : IDisposable
{
    private static readonly HttpClient Http = new() { Timeout = TimeSpan.FromSeconds(5) };

    private readonly string _configuration;
    private readonly string _home;
    private readonly string _cluster;
    private readonly string? _namespace;
    private ChildProcess? _process;

    /// <param name="directory">Where it keeps its files.</param>
    /// <param name="name">Its name, which no other of the cluster has.</param>
    /// <param name="clusterPort">Where it listens for the others; null for one alone.</param>
    /// <param name="routes">Where all of the cluster listen for each other, host:port.</param>
    /// <param name="settings">More lines of its configuration.</param>
    /// <param name="jetStream">Whether it has JetStream.</param>
    /// <param name="address">Where it listens.</param>
    /// <param name="runInNamespace">The network namespace it lives in.</param>
    public NatsServer(
        string directory, string name = "n1", int? clusterPort = null, IEnumerable<string>? routes = null, string settings = "", bool jetStream = true,
        string address = "127.0.0.1", string? runInNamespace = null)
    {
        (Name, Address, _namespace) = (name, address, runInNamespace);
        Port = FreePort.Take();
        Monitor = new Uri($"http://{address}:{FreePort.Take()}");
        _home = Path.Combine(directory, name);
        Directory.CreateDirectory(_home);
        _configuration = Path.Combine(_home, "nats.conf");
        _cluster = clusterPort is null
            ? ""
            : $"cluster {{ name: test, listen: \"{address}:{clusterPort}\", routes: [{string.Join(", ", (routes ?? []).Select(route => $"\"nats://{route}\""))}] }}";
        Configure(settings, jetStream);
    }

    public string Name { get; }

    /// <summary>Where it keeps what it stores.</summary>
    public string Store => Path.Combine(_home, "store");

    public string Address { get; }

    public int Port { get; }

    public string Url => $"nats://{Address}:{Port}";

    /// <summary>Where it tells how it is.</summary>
    public Uri Monitor { get; }

    public string Output => _process?.Output ?? "";

    public ChildProcess Process => _process ?? throw new InvalidOperationException($"{Name} does not run");

    /// <summary>Other settings, from the next start on; what it keeps stays.</summary>
    /// <param name="settings">More lines of its configuration.</param>
    /// <param name="jetStream">Whether it has JetStream.</param>
    /// <param name="maxFileStore">The most that it keeps.</param>
    public void Configure(string settings = "", bool jetStream = true, string maxFileStore = "2GB") => File.WriteAllText(_configuration, $$"""
        server_name: {{Name}}
        listen: "{{Address}}:{{Port}}"
        http: "{{Monitor.Authority}}"
        {{(jetStream ? $"jetstream {{ store_dir: \"{Store}\", max_mem: 64MB, max_file: {maxFileStore} }}" : "")}}
        {{_cluster}}
        {{settings}}
        """);

    public async Task StartAsync()
    {
        _process?.Dispose();
        _process = _namespace is null
            ? ChildProcess.Start("nats-server", "nats-server", ["-c", _configuration])
            : ChildProcess.Start("nats-server", "ip", ["netns", "exec", _namespace, "nats-server", "-c", _configuration]);
        await _process.WaitForLineAsync("Server is ready").ConfigureAwait(false);
    }

    public void Kill() => _process!.Kill();

    /// <summary>As a machine that hangs: connections stay open, and nobody answers.</summary>
    public void Freeze() => _process!.Signal("STOP");

    public void Thaw() => _process!.Signal("CONT");

    /// <summary>Whether all that it keeps is as new as that of the others, by its own account.</summary>
    public async Task<bool> IsHealthyAsync()
    {
        try
        {
            using HttpResponseMessage answer = await Http.GetAsync(new Uri(Monitor, "/healthz")).ConfigureAwait(false);
            return answer.IsSuccessStatusCode;
        }
        catch (Exception error) when (error is HttpRequestException or TaskCanceledException)
        {
            return false;
        }
    }

    /// <summary>The name of the server that leads the cluster's JetStream, as this one knows; null where it knows none.</summary>
    public async Task<string?> MetaLeaderAsync()
    {
        try
        {
            using JsonDocument answer = JsonDocument.Parse(await Http.GetStringAsync(new Uri(Monitor, "/jsz")).ConfigureAwait(false));
            return answer.RootElement.TryGetProperty("meta_cluster", out JsonElement meta) && meta.TryGetProperty("leader", out JsonElement leader)
                ? leader.GetString()
                : null;
        }
        catch (Exception error) when (error is HttpRequestException or TaskCanceledException)
        {
            return null;
        }
    }

    public void Dispose() => _process?.Dispose();
}

/// <summary>Three nats-servers that are one cluster.</summary>
public sealed class NatsCluster : IDisposable
{
    /// <param name="directory">Where they keep their files.</param>
    /// <param name="places">For each by its name: where it listens, and the network namespace it lives in; null for this machine's loopback.</param>
    public NatsCluster(string directory, Func<string, (string Address, string? Namespace)>? places = null)
    {
        string[] names = ["n1", "n2", "n3"];
        (string Address, string? Namespace)[] at = [.. names.Select(name => places?.Invoke(name) ?? ("127.0.0.1", null))];
        int[] ports = [.. names.Select(_ => FreePort.Take())];
        string[] routes = [.. at.Zip(ports, (place, port) => $"{place.Address}:{port}")];
        Servers =
        [
            .. names.Select((name, i) => new NatsServer(
                directory, name, ports[i], routes, address: at[i].Address, runInNamespace: at[i].Namespace)),
        ];
    }

    public IReadOnlyList<NatsServer> Servers { get; }

    public IReadOnlyList<string> Urls => [.. Servers.Select(server => server.Url)];

    public Task StartAsync() => Task.WhenAll(Servers.Select(server => server.StartAsync()));

    /// <summary>Waits until each says that it has all and that there is a leader.</summary>
    public Task WaitUntilHealthyAsync(TimeSpan? deadline = null) => Condition.WaitAsync(
        () => "all nats-servers are healthy",
        async () =>
        {
            foreach (NatsServer server in Servers)
            {
                if (!await server.IsHealthyAsync().ConfigureAwait(false))
                    return false;
            }

            return await Servers[0].MetaLeaderAsync().ConfigureAwait(false) is { Length: > 0 };
        },
        deadline);

    public void Dispose()
    {
        foreach (NatsServer server in Servers)
            server.Dispose();
    }
}
