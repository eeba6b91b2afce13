using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using EdgeStream.Harness;
using EdgeStream.Mirror.Enrolment;

namespace EdgeStream.Benchmarks.Mirroring;

/// <summary>
/// Two nats-servers with JetStream: the edge is a leaf node of the hub in a domain of its own, and a stream of the hub mirrors
/// the edge's. The leaf's link has mutual TLS, as EdgeStream's. <c>NATS_SERVER</c> names another build of it.
/// </summary>
internal sealed class NatsPair : IMirrorPair
{
    private const string Stream = "readings";
    private const string Copy = "copy";
    private const string Delivery = "delivery";

    private static readonly string Program =
        Environment.GetEnvironmentVariable("NATS_SERVER") is { Length: > 0 } given ? given : "nats-server";

    private readonly TemporaryDirectory _directory = new();
    private readonly int _leafPort = FreePort.Take();
    private ChildProcess? _hub;
    private ChildProcess? _edge;
    private NatsConnection _atHub = null!;
    private NatsConnection _atEdge = null!;
    private LinkTraffic _trafficBefore;
    private long _before;

    private NatsPair(bool mqtt) => MqttPort = mqtt ? FreePort.Take() : 0;

    public int MqttPort { get; }

    /// <param name="mqtt">Whether the edge takes MQTT.</param>
    public static async Task<IMirrorPair> StartAsync(bool mqtt = false)
    {
        var pair = new NatsPair(mqtt);
        await pair.StartServersAsync();
        return pair;
    }

    public async Task FillAsync(IEnumerable<Reading> readings)
    {
        long count = await CountAsync(_atEdge, Stream);
        foreach (Reading reading in readings)
        {
            await _atEdge.PublishAsync(SubjectOf(reading), reading.Value);
            count++;
        }

        await _atEdge.FlushAsync();
        await Condition.WaitAsync(() => "NATS's edge has stored the backlog", async () => await CountAsync(_atEdge, Stream) == count, TimeSpan.FromMinutes(3));
    }

    public async Task ConnectAsync() => await _atHub.RequestAsync(
        $"$JS.API.STREAM.CREATE.{Copy}",
        $$"""{"name":"{{Copy}}","storage":"file","mirror":{"name":"{{Stream}}","external":{"api":"$JS.edge.API"} } }""");

    // A mirror cannot be stopped. So it is removed, and what it had at both sides: what it begins with anew is the backlog.
    public async Task DisconnectAsync()
    {
        _before += await CountAsync(_atHub, Copy);
        await _atHub.RequestAsync($"$JS.API.STREAM.DELETE.{Copy}", "");
        await _atEdge.RequestAsync($"$JS.API.STREAM.PURGE.{Stream}", "");
        _trafficBefore = LinkTraffic.Of(_edge!.Id, _leafPort);
    }

    public async Task<long> CopiedAsync() => _before + await CountAsync(_atHub, Copy);

    public async Task PublishAsync(Reading reading)
    {
        await _atEdge.PublishAsync(SubjectOf(reading), reading.Value);
        await _atEdge.SendAsync();
    }

    public async Task ListenAtHubAsync(Action arrived)
    {
        await _atHub.SubscribeAsync(Delivery, (_, _) => arrived());
        await _atHub.RequestAsync(
            $"$JS.API.CONSUMER.CREATE.{Copy}",
            $$"""{"stream_name":"{{Copy}}","config":{"deliver_subject":"{{Delivery}}","deliver_policy":"new","ack_policy":"none"} }""");
    }

    public (ProcessUsage Edge, ProcessUsage Hub) Usage() => (ProcessUsage.Of(_edge!.Id), ProcessUsage.Of(_hub!.Id));

    public LinkTraffic Traffic() => LinkTraffic.Of(_edge!.Id, _leafPort) - _trafficBefore;

    public void Dispose()
    {
        _atEdge?.Dispose();
        _atHub?.Dispose();
        _edge?.Dispose();
        _hub?.Dispose();
        _directory.Dispose();
    }

    private static string SubjectOf(Reading reading) => "sensors." + Encoding.ASCII.GetString(reading.Key);

    private static async Task<long> CountAsync(NatsConnection connection, string stream)
    {
        JsonElement info = await connection.RequestAsync($"$JS.API.STREAM.INFO.{stream}", "");
        return info.GetProperty("state").GetProperty("messages").GetInt64();
    }

    private async Task StartServersAsync()
    {
        WriteCertificates();
        int hubPort = FreePort.Take(), edgePort = FreePort.Take();
        string tls(string name) => $$"""tls { cert_file: "{{_directory.At(name)}}.crt", key_file: "{{_directory.At(name)}}.key", ca_file: "{{_directory.At("ca.crt")}}" """;
        _hub = await StartAsync("hub", $$"""
            listen: "127.0.0.1:{{hubPort}}"
            jetstream { store_dir: "{{_directory.At("hub")}}", domain: hub, max_file_store: 20G }
            leafnodes { listen: "127.0.0.1:{{_leafPort}}", {{tls("server")}}, verify: true } }
            """);
        _edge = await StartAsync("edge", $$"""
            listen: "127.0.0.1:{{edgePort}}"
            jetstream { store_dir: "{{_directory.At("edge")}}", domain: edge, max_file_store: 20G }
            leafnodes { remotes: [ { url: "tls://localhost:{{_leafPort}}", {{tls("client")}} } } ] }
            {{(MqttPort == 0 ? "" : $$"""mqtt { listen: "127.0.0.1:{{MqttPort}}" }""")}}
            """);
        _atHub = await NatsConnection.ConnectAsync(hubPort);
        _atEdge = await NatsConnection.ConnectAsync(edgePort);
        await _atEdge.RequestAsync(
            $"$JS.API.STREAM.CREATE.{Stream}", $$"""{"name":"{{Stream}}","subjects":["sensors.>"],"storage":"file"}""");

        // The link stands when the hub sees the edge's JetStream through it.
        await Condition.WaitAsync(
            () => $"the leaf node is connected:\n{_edge.Output}",
            async () =>
            {
                try
                {
                    await _atHub.RequestAsync($"$JS.edge.API.STREAM.INFO.{Stream}", "");
                    return true;
                }
                catch (InvalidOperationException)
                {
                    return false;
                }
            });
    }

    private async Task<ChildProcess> StartAsync(string name, string configuration)
    {
        string file = _directory.At($"{name}.conf");
        await File.WriteAllTextAsync(file, $"server_name: {name}\n{configuration}");
        ChildProcess process = ChildProcess.Start($"nats-server ({name})", Program, ["-c", file]);
        await process.WaitForLineAsync("Server is ready");
        return process;
    }

    /// <summary>The same kind of keys that EdgeStream makes.</summary>
    private void WriteCertificates()
    {
        using CertificateAuthority authority = CertificateAuthority.Open(_directory.At("authority"), TimeProvider.System);
        File.WriteAllText(_directory.At("ca.crt"), authority.CertificatePem);
        using X509Certificate2 server = authority.IssueServer(["localhost"], TimeSpan.FromDays(1));
        using ECDsa serverKey = server.GetECDsaPrivateKey()!;
        Write("server", server, serverKey);
        using var clientKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using X509Certificate2 client = authority.IssueClient(
            new PublicKey(clientKey), new X500DistinguishedName("CN=edge"), TimeSpan.FromDays(1));
        Write("client", client, clientKey);

        void Write(string name, X509Certificate2 certificate, ECDsa key)
        {
            File.WriteAllText(_directory.At($"{name}.crt"), certificate.ExportCertificatePem());
            File.WriteAllText(_directory.At($"{name}.key"), key.ExportPkcs8PrivateKeyPem());
        }
    }
}
