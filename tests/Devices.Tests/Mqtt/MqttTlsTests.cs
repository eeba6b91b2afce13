using System.Globalization;
using System.Net;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Harness;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Devices.Tests.Mqtt;

/// <summary>Our clients at a real Mosquitto, and Mosquitto's clients at our broker.</summary>
public sealed class MqttTlsTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly RecordingSink _sink = new();
    private readonly TestAuthority _authority;
    private readonly LogLines<EmbeddedBroker> _log = new();

    public MqttTlsTests() => _authority = new TestAuthority(_directory.Path);

    public void Dispose()
    {
        _authority.Dispose();
        _directory.Dispose();
    }

    [Theory]
    [InlineData(MqttProtocol.V5)]
    [InlineData(MqttProtocol.V311)]
    public async Task Source_and_sink_speak_TLS_with_client_certificates(MqttProtocol protocol)
    {
        using MosquittoBroker mosquitto = await MosquittoAsync(_authority.Issue("server"), askForCertificates: true);
        MqttClientSource source = Source(mosquitto.Port, _authority.File, _authority.Issue("edge"), protocol);
        await using RunningSource run = await RunningSource.StartAsync(source);
        var feed = new ListFeed();
        var sink = new MqttClientSink(
            new MqttSinkOptions
            {
                Broker = new Uri($"mqtts://localhost:{mosquitto.Port}"),
                ClientId = "relay",
                Protocol = protocol,
                CaFile = _authority.File,
                CertFile = Path.Combine(_directory.Path, "edge.crt"),
                KeyFile = Path.Combine(_directory.Path, "edge.key"),
                Topic = "commands",
                Publish = "s/{key}/t",
            },
            feed,
            TimeProvider.System,
            NullLogger<MqttClientSink>.Instance);
        await using RunningSource output = await RunningSource.StartAsync(sink);

        feed.Add("21.5", "kitchen");

        await Condition.WaitAsync("it went out and came in", () => _sink.StoredValues is ["21.5"]);
    }

    [Fact]
    public async Task Source_without_its_certificate_is_told_so_by_the_broker()
    {
        using MosquittoBroker mosquitto = await MosquittoAsync(_authority.Issue("server"), askForCertificates: true);
        string problem = await ProblemAsync(Source(mosquitto.Port, _authority.File));

        Assert.StartsWith($"cannot connect to mqtts://localhost:{mosquitto.Port}: ", problem, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Broker_of_another_authority_is_not_trusted()
    {
        using var other = new TestAuthority(_directory.Path, "other");
        using MosquittoBroker mosquitto = await MosquittoAsync(other.Issue("server"));

        Assert.Equal(
            $"cannot connect to mqtts://localhost:{mosquitto.Port}: its certificate was issued by nobody who is trusted here; ca-file names the authorities",
            await ProblemAsync(Source(mosquitto.Port, _authority.File)));
        Assert.EndsWith(
            "its certificate was issued by nobody who is trusted here; ca-file names the authorities",
            await ProblemAsync(Source(mosquitto.Port, caFile: null)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Broker_of_another_name_is_not_trusted()
    {
        using MosquittoBroker mosquitto = await MosquittoAsync(_authority.Issue("server", "broker.example"));

        Assert.EndsWith(
            ": its certificate is not for 'localhost' but for 'broker.example'", await ProblemAsync(Source(mosquitto.Port, _authority.File)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Certificate_out_of_its_time_says_so()
    {
        using MosquittoBroker expired = await MosquittoAsync(_authority.Issue("server", age: TimeSpan.FromDays(10)));
        Assert.EndsWith(
            $": its certificate expired on {Day(-8)}", await ProblemAsync(Source(expired.Port, _authority.File)), StringComparison.Ordinal);

        using MosquittoBroker early = await MosquittoAsync(_authority.Issue("server", age: TimeSpan.FromDays(-10)));
        Assert.EndsWith(
            $": its certificate is valid from {Day(10)} on, and this device's clock says {Day(0)}",
            await ProblemAsync(Source(early.Port, _authority.File)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task File_that_is_missing_or_no_certificate_is_named()
    {
        string absent = _directory.At("absent.pem"), text = _directory.At("text.pem");
        await File.WriteAllTextAsync(text, "hello", TestContext.Current.CancellationToken);

        Assert.EndsWith($": ca-file '{absent}' does not exist; put it there, or correct the setting", await ProblemAsync(Source(1, absent)), StringComparison.Ordinal);
        Assert.EndsWith($": ca-file '{text}' cannot be used: it has no certificate in it", await ProblemAsync(Source(1, text)), StringComparison.Ordinal);
        (string cert, string key) = (_authority.Issue("a").Cert, _authority.Issue("b").Key);
        Assert.Contains($"key-file '{key}' cannot be used: ", await ProblemAsync(Source(1, _authority.File, (cert, key))), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Devices_reach_our_broker_with_TLS_and_without()
    {
        EmbeddedBroker broker = Broker(_authority.Issue("server"));
        await using RunningSource run = await RunningSource.StartAsync(broker);

        Assert.Equal((0, ""), await MosquittoClient.PublishAsync(broker.BoundEndpoint!.Port, "-q", "1", "-t", "s/a/t", "-m", "plain"));
        Assert.Equal((0, ""), await MosquittoClient.PublishAsync(
            broker.BoundTlsEndpoint!.Port, "-h", "localhost", "--cafile", _authority.File, "-V", "5", "-q", "2", "-t", "s/a/t", "-m", "secret"));

        Assert.Equal(["plain", "secret"], _sink.StoredValues);
    }

    [Fact]
    public async Task Renewed_certificate_counts_without_a_restart()
    {
        EmbeddedBroker broker = Broker(_authority.Issue("server", age: TimeSpan.FromDays(10)));
        await using RunningSource run = await RunningSource.StartAsync(broker);
        string[] arguments = ["-h", "localhost", "--cafile", _authority.File, "-q", "1", "-t", "s/a/t", "-m", "1"];
        Assert.NotEqual(0, (await MosquittoClient.PublishAsync(broker.BoundTlsEndpoint!.Port, arguments)).Code);

        _authority.Issue("server");

        Assert.Equal(0, (await MosquittoClient.PublishAsync(broker.BoundTlsEndpoint!.Port, arguments)).Code);
    }

    [Fact]
    public async Task Our_broker_asks_for_certificates_of_its_authority()
    {
        using var other = new TestAuthority(_directory.Path, "other");
        EmbeddedBroker broker = Broker(_authority.Issue("server"), _authority.File);
        await using RunningSource run = await RunningSource.StartAsync(broker);

        await RefusedAsync(null, "it showed no certificate");
        await RefusedAsync(other.Issue("stranger"), "its certificate was issued by nobody who is trusted here; client-ca-file names the authorities");
        await RefusedAsync(_authority.Issue("old", age: TimeSpan.FromDays(10)), $"its certificate expired on {Day(-8)}");
        Assert.Empty(_sink.Stored);
        Assert.Equal(0, await PublishAsync(_authority.Issue("device")));
        Assert.Equal(["1"], _sink.StoredValues);

        async Task RefusedAsync((string, string)? certificate, string reason)
        {
            Assert.NotEqual(0, await PublishAsync(certificate));
            await Condition.WaitAsync(
                () => $"the log says '{reason}'; it says\n{string.Join('\n', _log.All)}",
                () => Task.FromResult(_log.All.Any(line => line.EndsWith($"failed: {reason}", StringComparison.Ordinal))),
                TimeSpan.FromSeconds(10));
        }

        async Task<int> PublishAsync((string Cert, string Key)? certificate)
        {
            string[] own = certificate is { } files ? ["--cert", files.Cert, "--key", files.Key] : [];
            return (await MosquittoClient.PublishAsync(
                broker.BoundTlsEndpoint!.Port, ["-h", "localhost", "--cafile", _authority.File, .. own, "-q", "1", "-t", "s/a/t", "-m", "1"])).Code;
        }
    }

    private static string Day(int days) => DateTime.UtcNow.AddDays(days).ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);

    private static async Task<string> ProblemAsync(MqttClientSource source) =>
        (await Assert.ThrowsAsync<IOException>(() => RunningSource.StartAsync(source))).Message;

    private async Task<MosquittoBroker> MosquittoAsync((string Cert, string Key) server, bool askForCertificates = false)
    {
        var mosquitto = new MosquittoBroker(
            _directory.Path,
            $"cafile {_authority.File}", $"certfile {server.Cert}", $"keyfile {server.Key}", $"require_certificate {(askForCertificates ? "true" : "false")}");
        await mosquitto.StartAsync();
        return mosquitto;
    }

    private MqttClientSource Source(int port, string? caFile, (string Cert, string Key)? certificate = null, MqttProtocol protocol = MqttProtocol.V5) => new(
        new MqttSourceOptions
        {
            Broker = new Uri($"mqtts://localhost:{port}"),
            ClientId = "edge",
            Protocol = protocol,
            CaFile = caFile,
            CertFile = certificate?.Cert,
            KeyFile = certificate?.Key,
            Rules = [new MqttTopicRule("s/+/t", "readings", "{1}")],
        },
        _sink,
        TimeProvider.System,
        NullLogger<MqttClientSource>.Instance);

    private EmbeddedBroker Broker((string Cert, string Key) server, string? clientCaFile = null) => new(
        new EmbeddedBrokerOptions
        {
            Listen = new IPEndPoint(IPAddress.Loopback, 0),
            TlsListen = new IPEndPoint(IPAddress.Loopback, 0),
            CertFile = server.Cert,
            KeyFile = server.Key,
            ClientCaFile = clientCaFile,
            Rules = [new MqttTopicRule("s/+/t", "readings", "{1}")],
        },
        _sink,
        TimeProvider.System,
        _log);
}
