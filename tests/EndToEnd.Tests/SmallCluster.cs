using System.Security.Cryptography.X509Certificates;
using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>One nats-server, an SC, and SPUs as they are asked for: each started, killed and started again by the test.</summary>
internal sealed class SmallCluster : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly string _configuration;
    private readonly string _controller = $"127.0.0.1:{FreePort.Take()}";
    private readonly List<NodeProcess> _spus = [];

    /// <param name="natsUrl">Another NATS than <see cref="Nats"/>.</param>
    public SmallCluster(string? natsUrl = null)
    {
        Nats = new NatsServer(_directory.Path);
        _configuration = _directory.At("cluster.toml");
        File.WriteAllText(_configuration, $"""
            [storage]
            engine = "jetstream"
            nats = ["{natsUrl ?? Nats.Url}"]
            """);
        Controller = NodeProcess.Controller(_directory.Path, _controller, _configuration, "sc");
    }

    public NatsServer Nats { get; }

    public NodeProcess Controller { get; }

    /// <summary>A file of the test's own.</summary>
    public string At(string name) => _directory.At(name);

    /// <summary>Starts NATS, the SC and an SPU, and waits until that is registered.</summary>
    public async Task<NodeProcess> StartAsync()
    {
        await Nats.StartAsync();
        await Controller.StartAsync();
        NodeProcess spu = await StartSpuAsync(1);
        await spu.Process.WaitForLineAsync("registered with the active SC");
        return spu;
    }

    /// <summary>Starts an SPU, with an identity of that number; the SC has run before.</summary>
    public async Task<NodeProcess> StartSpuAsync(int id, string? name = null)
    {
        string identity = _directory.At($"identity-{id}");
        if (!Directory.Exists(identity))
            await EdgeStreamProgram.RunGoodAsync("spu", "certificate", $"{id}", "--data", Controller.Data, "--out", identity);

        NodeProcess spu = NodeProcess.Spu(
            _directory.Path, $"127.0.0.1:{FreePort.Take()}", _configuration, name ?? $"spu{id}", identity, [$"https://{_controller}"], "here");
        _spus.Add(spu);
        await spu.StartAsync();
        return spu;
    }

    /// <summary>Runs a command at the SC over the network, as clients do; to be asked for once the SC was active.</summary>
    public async Task<(int ExitCode, string Output, string Error)> RunAsync(params string[] arguments)
    {
        (string certificate, string key, string authority) = await CertificateAsync();
        return await EdgeStreamProgram.RunAsync([.. arguments, "--connect", $"https://{_controller}", "--cert", certificate, "--key-file", key, "--ca", authority]);
    }

    /// <summary>As <see cref="RunAsync"/>, of a command that has to work; its output.</summary>
    public async Task<string> CommandAsync(params string[] arguments)
    {
        (int exitCode, string output, string error) = await RunAsync(arguments);
        Assert.True(exitCode == 0, error);
        return output.Trim();
    }

    /// <summary>A client of the cluster; the caller disposes it.</summary>
    public async Task<EdgeStreamClient> ConnectAsync()
    {
        (string certificate, string key, string authority) = await CertificateAsync();
        return new EdgeStreamClient(new ClientOptions
        {
            Endpoints = [$"https://{_controller}"],
            Certificate = X509Certificate2.CreateFromPemFile(certificate, key),
            Authority = X509CertificateLoader.LoadCertificateFromFile(authority),
        });
    }

    /// <summary>Waits until a node's own account of itself is so.</summary>
    public static async Task<NodeStatus> UntilAsync(NodeProcess node, string what, Func<NodeStatus, bool> condition)
    {
        using EdgeStreamClient client = node.Connect();
        NodeStatus? status = null;
        await Condition.WaitAsync(
            () => $"{node.Name}: {what}; it is {status}\n{node.Process.Output}",
            async () => condition(status = await client.CallAsync(c => c.Agent.GetStatusAsync(new GetStatusRequest()))),
            TimeSpan.FromSeconds(60));
        return status!;
    }

    /// <summary>That a node has logged something, and no line of it again and again. What it says in them may become more precise.</summary>
    public static void IsLoggedOnce(NodeProcess node, string text)
    {
        string[] lines = [.. node.Process.Output.Split('\n').Where(line => line.Contains(text, StringComparison.Ordinal)).Select(line => line[line.IndexOf(' ', StringComparison.Ordinal)..])];
        Assert.True(lines.Length > 0 && lines.Distinct().Count() == lines.Length, $"'{text}' once in:\n{node.Process.Output}");
    }

    public void Dispose()
    {
        foreach (NodeProcess node in _spus)
            node.Dispose();

        Controller.Dispose();
        Nats.Dispose();
        _directory.Dispose();
    }

    private async Task<(string Certificate, string Key, string Authority)> CertificateAsync()
    {
        string files = _directory.At("certificates");
        if (!Directory.Exists(files))
            await Controller.CommandAsync("cert", "issue", "admin", "--role", "admin", "--out", files);

        return (Path.Combine(files, "admin.crt"), Path.Combine(files, "admin.key"), Path.Combine(files, "hub-ca.crt"));
    }
}
