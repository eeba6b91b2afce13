using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Harness.Network;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Benchmarks.Mirroring;

/// <summary><c>edgestream run</c> and <c>edgestream hub</c>, on loopback or with a link between them.</summary>
internal sealed class EdgeStreamPair : IMirrorPair
{
    private const string Topic = "readings";

    private readonly TemporaryDirectory _directory = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly NodeProcess _hub;
    private readonly NodeProcess _edge;
    private readonly int _hubPort = FreePort.Take();
    private readonly SitePath? _path;
    private EdgeStreamClient _atHub = null!;
    private EdgeStreamClient _atEdge = null!;
    private Producer? _producer;

    private EdgeStreamPair(string configuration, bool mqtt, LinkShape? link)
    {
        if (link is not null)
        {
            _path = new SitePath();
            _path.Shape(link);
        }

        MqttPort = mqtt ? FreePort.Take() : 0;
        string broker = mqtt
            ? $$"""

                [[source.mqtt-broker]]
                listen = "127.0.0.1:{{MqttPort}}"
                subscribe = [{ filter = "sensors/#", topic = "{{Topic}}", key = "{0}" }]
                """
            : "";
        _hub = NodeProcess.Hub(_directory.Path, _path is null ? $"127.0.0.1:{_hubPort}" : $"0.0.0.0:{_hubPort}", runInNamespace: _path?.Hub.Name);
        _edge = NodeProcess.Edge(_directory.Path, $"""
            [[topic]]
            name = "{Topic}"
            mirror = true
            {broker}
            {configuration}
            """, runInNamespace: _path?.Edge.Name);
    }

    public int MqttPort { get; }

    /// <param name="configuration">What the edge's configuration has besides topic and broker.</param>
    /// <param name="mqtt">Whether the edge has its broker.</param>
    /// <param name="link">What lies between them, which needs root; null for loopback.</param>
    public static async Task<IMirrorPair> StartAsync(string configuration = "", bool mqtt = false, LinkShape? link = null)
    {
        var pair = new EdgeStreamPair(configuration, mqtt, link);
        await pair._hub.StartAsync();
        await pair._edge.StartAsync();
        pair._atHub = pair._hub.Connect();
        pair._atEdge = pair._edge.Connect();
        return pair;
    }

    public async Task FillAsync(IEnumerable<Reading> readings)
    {
        await using Producer producer = await _atEdge.ProduceAsync(Topic);
        Task<long> last = Task.FromResult(0L);
        foreach (Reading reading in readings)
            last = await producer.SendAsync(ToRecord(reading));

        await last;
    }

    public async Task ConnectAsync()
    {
        Invite invite = await _atHub.CallAsync(c => c.ControlPlane.InviteGeoLocationAsync(new InviteGeoLocationRequest { Name = "bench" }));
        await _atEdge.CallAsync(c => c.Agent.JoinHubAsync(new JoinHubRequest { Hub = $"{(_path is null ? "127.0.0.1" : SitePath.HubName)}:{_hubPort}", Token = invite.Token }));
    }

    public async Task DisconnectAsync() => await _atEdge.CallAsync(c => c.Agent.LeaveHubAsync(new LeaveHubRequest()));

    public async Task<long> CopiedAsync()
    {
        ListPartitionsResponse answer = await _atHub.CallAsync(c => c.ControlPlane.ListPartitionsAsync(new ListPartitionsRequest()));
        return answer.Partitions.Sum(partition => partition.Durable);
    }

    public async Task PublishAsync(Reading reading)
    {
        _producer ??= await _atEdge.ProduceAsync(Topic);
        await _producer.SendAsync(ToRecord(reading));
    }

    public async Task ListenAtHubAsync(Action arrived)
    {
        Consumer consumer = await _atHub.ConsumeAsync(new ConsumeRequest { Topic = Topic, End = true });
        _ = Task.Run(async () =>
        {
            using (consumer)
            {
                await foreach (Record _ in consumer.ReadAsync(_stop.Token))
                    arrived();
            }
        });
    }

    public (ProcessUsage Edge, ProcessUsage Hub) Usage() => (ProcessUsage.Of(_edge.Process.Id), ProcessUsage.Of(_hub.Process.Id));

    public LinkTraffic Traffic() => LinkTraffic.Of(_edge.Process.Id, _hubPort, _path?.Edge.Name);

    public void Dispose()
    {
        _stop.Cancel();
        _atEdge.Dispose();
        _atHub.Dispose();
        _edge.Dispose();
        _hub.Dispose();
        _path?.Dispose();
        _directory.Dispose();
        _stop.Dispose();
    }

    private static Record ToRecord(Reading reading) => new(reading.Timestamp, reading.Key, reading.Value);
}
