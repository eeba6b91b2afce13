using EdgeStream.Client;

namespace EdgeStream.Harness;

/// <summary>An edge, a hub, or an SC or SPU of a cluster as its own process, with a data directory that outlives it.</summary>
public sealed class NodeProcess : IDisposable
{
    private const string FreeHttp = "127.0.0.1:0";

    private readonly string[] _arguments;
    private readonly string? _namespace;
    private ChildProcess? _process;

    private NodeProcess(string name, string directory, string[] arguments, string? runInNamespace)
    {
        Name = name;
        Data = Path.Combine(directory, name);
        Socket = Path.Combine(directory, $"{name}.sock");
        _arguments = [.. arguments, "--data", Data, "--socket", Socket];
        _namespace = runInNamespace;
    }

    public string Name { get; }

    public string Data { get; }

    public string Socket { get; }

    public ChildProcess Process => _process ?? throw new InvalidOperationException($"{Name} does not run");

    /// <summary>Where it says that its metrics and its health are, once it has started.</summary>
    public async Task<Uri> HttpAsync() =>
        new((await Process.WaitForLineAsync(@"listening on (http://\S+)").ConfigureAwait(false)).Groups[1].Value);

    /// <param name="directory">Where data and socket go.</param>
    /// <param name="configuration">The configuration file's text.</param>
    /// <param name="name">Its name.</param>
    /// <param name="runInNamespace">The network namespace it lives in.</param>
    /// <param name="http">Where metrics and health are; null leaves it to configuration and default, where one node at a time can be.</param>
    public static NodeProcess Edge(string directory, string configuration, string name = "edge", string? runInNamespace = null, string? http = FreeHttp)
    {
        string file = Path.Combine(directory, $"{name}.toml");
        File.WriteAllText(file, configuration);
        return new NodeProcess(name, directory, ["run", "--config", file, .. Http(http)], runInNamespace);
    }

    /// <param name="directory">Where data and socket go.</param>
    /// <param name="listen">Where edges find it.</param>
    /// <param name="name">Its name.</param>
    /// <param name="runInNamespace">The network namespace it lives in.</param>
    /// <param name="configuration">The configuration file's text; null where it has none.</param>
    public static NodeProcess Hub(
        string directory, string listen, string name = "hub", string? runInNamespace = null, string? configuration = null)
    {
        string file = Path.Combine(directory, $"{name}.toml");
        if (configuration is not null)
            File.WriteAllText(file, configuration);

        return new NodeProcess(
            name, directory, ["hub", "--listen", listen, .. Http(FreeHttp), .. configuration is null ? [] : (string[])["--config", file]], runInNamespace);
    }

    /// <param name="directory">Where data and socket go.</param>
    /// <param name="listen">Where SPUs, edges and clients find it.</param>
    /// <param name="configuration">The configuration file, which all of the cluster may share.</param>
    /// <param name="name">Its name.</param>
    /// <param name="runInNamespace">The network namespace it lives in.</param>
    public static NodeProcess Controller(string directory, string listen, string configuration, string name, string? runInNamespace = null) =>
        new(name, directory, ["sc", "--config", configuration, "--listen", listen, .. Http(FreeHttp)], runInNamespace);

    /// <param name="directory">Where data and socket go.</param>
    /// <param name="listen">Where edges and clients find it.</param>
    /// <param name="configuration">The configuration file, which all of the cluster may share.</param>
    /// <param name="name">Its name.</param>
    /// <param name="identity">What <c>spu certificate</c> has made.</param>
    /// <param name="controllers">Where the SCs are.</param>
    /// <param name="zone">Where it stands.</param>
    /// <param name="runInNamespace">The network namespace it lives in.</param>
    public static NodeProcess Spu(
        string directory, string listen, string configuration, string name, string identity, IEnumerable<string> controllers, string zone,
        string? runInNamespace = null) => new(
        name, directory,
        [
            "spu", "--config", configuration, "--listen", listen, "--identity", identity, "--zone", zone,
            .. controllers.SelectMany(controller => (string[])["--sc", controller]), .. Http(FreeHttp),
        ],
        runInNamespace);

    /// <summary>Starts it and waits until it serves.</summary>
    public async Task StartAsync()
    {
        _process?.Dispose();
        _process = _namespace is null
            ? ChildProcess.Start(Name, EdgeStreamProgram.Path, _arguments)
            : ChildProcess.Start(Name, "ip", ["netns", "exec", _namespace, EdgeStreamProgram.Path, .. _arguments]);
        await _process.WaitForLineAsync("data in ").ConfigureAwait(false);
    }

    public void Kill() => Process.Kill();

    /// <summary>A client on the node's local socket; the caller disposes it.</summary>
    public EdgeStreamClient Connect() => new(new ClientOptions { Endpoint = "unix:" + Socket });

    public Task<string> CommandAsync(params string[] arguments) => EdgeStreamProgram.RunGoodAsync([.. arguments, "--socket", Socket]);

    public void Dispose() => _process?.Dispose();

    private static string[] Http(string? http) => http is null ? [] : ["--http", http];
}
