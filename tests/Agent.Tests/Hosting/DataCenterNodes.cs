using System.Globalization;
using System.Net;
using EdgeStream.Agent.Configuration;
using EdgeStream.Agent.Hosting;
using EdgeStream.Agent.Hosting.DataCenter;
using EdgeStream.Client;
using EdgeStream.Cluster.Nats;
using EdgeStream.Harness;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Tests.Hosting;

/// <summary>SCs and SPUs in this process as they run in their own: on a nats-server, with TLS between them.</summary>
internal sealed class DataCenterNodes : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly Dictionary<string, RunningNode> _nodes = [];

    public DataCenterNodes(string natsSettings = "", bool jetStream = true) => Nats = new NatsServer(_directory.Path, settings: natsSettings, jetStream: jetStream);

    public NatsServer Nats { get; }

    public RunningNode this[string name] => _nodes[name];

    /// <summary>Starts an SC with the CA of the first one, or one of its own.</summary>
    public RunningNode StartSc(string name, bool hasOwnAuthority = false, bool acceptsLoss = false)
    {
        string data = Path.Combine(_directory.Path, name);
        if (_nodes.Values.FirstOrDefault(node => node.IsSc) is { } first && !hasOwnAuthority)
        {
            Directory.CreateDirectory(Path.Combine(data, "ca"));
            foreach (string file in Directory.GetFiles(Path.Combine(first.Data, "ca")))
                File.Copy(file, Path.Combine(data, "ca", Path.GetFileName(file)));
        }

        return Start(name, isSc: true, (options, stop) => ScNode.RunAsync(options, new ClusterOptions { AcceptsLoss = acceptsLoss }, stop));
    }

    /// <summary>Starts an SPU, with an identity that the first SC's CA has signed.</summary>
    public RunningNode StartSpu(string name, int id)
    {
        RunningNode[] scs = [.. _nodes.Values.Where(node => node.IsSc)];
        string identity = Path.Combine(_directory.Path, $"identity-{id}");
        if (!Directory.Exists(identity))
        {
            using CertificateAuthority authority = CertificateAuthority.Open(scs[0].Data, TimeProvider.System);
            SpuIdentity.Create(identity, authority, id, ["localhost"]);
        }

        var cluster = new ClusterOptions { Identity = identity, Controllers = [.. scs.Select(sc => sc.Endpoint)] };
        return Start(name, isSc: false, (options, stop) => SpuNode.RunAsync(options, cluster, stop));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (RunningNode node in _nodes.Values.OrderBy(node => node.IsSc))
            await node.StopAsync();

        Nats.Dispose();
        _directory.Dispose();
    }

    private RunningNode Start(string name, bool isSc, Func<NodeOptions, CancellationToken, Task> run)
    {
        int port = FreePort.Take();
        string data = Path.Combine(_directory.Path, name);
        var options = new NodeOptions(data, Path.Combine(_directory.Path, $"{name}.sock"), new IPEndPoint(IPAddress.Loopback, port), Http: new HttpListen(null, IsChosen: true))
        {
            JetStream = new JetStreamOptions([Nats.Url]) { AnswerTimeout = TimeSpan.FromSeconds(1) },
        };
        return _nodes[name] = new RunningNode(data, string.Create(CultureInfo.InvariantCulture, $"https://127.0.0.1:{port}"), isSc, options, run);
    }
}

/// <summary>A node, until it is told to stop.</summary>
internal sealed class RunningNode(string data, string endpoint, bool isSc, NodeOptions options, Func<NodeOptions, CancellationToken, Task> run)
{
    private readonly CancellationTokenSource _stop = new();
    private Task? _running;

    public string Data => data;

    public string Endpoint => endpoint;

    public bool IsSc => isSc;

    /// <summary>Runs until it serves its socket.</summary>
    public async Task<RunningNode> ServingAsync()
    {
        _running ??= Task.Run(() => run(options, _stop.Token));
        await Condition.WaitAsync($"{data} serves", () => _running.IsCompleted || File.Exists(options.Socket));
        if (_running.IsCompleted)
            await _running;

        return this;
    }

    public EdgeStreamClient Connect() => new(new ClientOptions { Endpoint = $"unix:{options.Socket}" });

    public async Task<NodeStatus> StatusAsync()
    {
        using EdgeStreamClient client = Connect();
        return await client.CallAsync(c => c.Agent.GetStatusAsync(new GetStatusRequest()));
    }

    /// <summary>Waits until its status is so.</summary>
    public async Task<NodeStatus> UntilAsync(string what, Func<NodeStatus, bool> condition, TimeSpan? deadline = null)
    {
        NodeStatus status = await StatusAsync();
        await Condition.WaitAsync(() => $"{what}; it is: {status}", async () => condition(status = await StatusAsync()), deadline);
        return status;
    }

    public async Task StopAsync()
    {
        await _stop.CancelAsync();
        if (_running is { } running)
            await running;
    }
}
