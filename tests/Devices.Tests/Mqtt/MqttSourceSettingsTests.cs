using System.Text.RegularExpressions;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Harness;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Devices.Tests.Mqtt;

/// <summary>What one can choose for a source, at a real Mosquitto with its own clients.</summary>
public sealed class MqttSourceSettingsTests : IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();
    private readonly RecordingSink _sink = new();
    private readonly MosquittoBroker _broker;

    public MqttSourceSettingsTests() => _broker = new MosquittoBroker(_directory.Path);

    public async ValueTask InitializeAsync() => await _broker.StartAsync();

    public ValueTask DisposeAsync()
    {
        _broker.Dispose();
        _directory.Dispose();
        return ValueTask.CompletedTask;
    }

    [Theory]
    [InlineData(MqttProtocol.V5)]
    [InlineData(MqttProtocol.V311)]
    public async Task Retained_messages_are_left_out_where_that_is_wanted(MqttProtocol protocol)
    {
        await PublishAsync("s/a/t", "old", "-r");
        MqttClientSource source = Source(options => options with { Protocol = protocol, StoreRetained = false });
        await using RunningSource run = await RunningSource.StartAsync(source);
        await PublishAsync("s/a/t", "new", "-r");

        await Condition.WaitAsync("the new one came", () => _sink.Stored.Count > 0);
        Assert.Equal(["new"], _sink.StoredValues);
        Assert.Equal((1, 1, 0), (source.Counters.Received, source.Counters.Stored, source.Counters.Dropped));
    }

    [Fact]
    public async Task Shared_subscription_gives_each_message_to_one_of_two_sources()
    {
        MqttTopicRule[] rules = [new MqttTopicRule("$share/pool/s/+/t", "readings", "{1}")];
        await using RunningSource one = await RunningSource.StartAsync(Source(options => options with { ClientId = "one", Rules = rules }));
        await using RunningSource two = await RunningSource.StartAsync(Source(options => options with { ClientId = "two", Rules = rules }));
        string[] values = [.. Enumerable.Range(0, 20).Select(i => $"{i}")];
        foreach (string value in values)
            await PublishAsync("s/kitchen/t", value);

        await Condition.WaitAsync("all came", () => _sink.Stored.Count >= values.Length);
        Assert.Equal(values.Order(), _sink.StoredValues.Order());
        Assert.All(_sink.Stored, record => Assert.Equal("kitchen"u8.ToArray(), record.Key!.Value.ToArray()));
        Assert.Equal(2, Regex.Matches(_broker.Output, "Sending PUBLISH to (one|two) ").Select(match => match.Value).Distinct().Count());
    }

    [Theory]
    [InlineData(MqttProtocol.V5)]
    [InlineData(MqttProtocol.V311)]
    public async Task Status_topic_says_online_and_offline_after_an_orderly_end_and_after_another(MqttProtocol protocol)
    {
        using ChildProcess listener = await MosquittoClient.SubscribeAsync(_broker.Port, "-t", "edges/#", "-F", "got %p");
        MqttClientSource source = Source(options => options with { Protocol = protocol, StatusTopic = "edges/berlin" });
        await using (RunningSource run = await RunningSource.StartAsync(source))
        {
            await listener.WaitForLineAsync("^got online$");
            await run.StopAsync();
        }

        await listener.WaitForLineAsync("^got offline$");
        await using RunningSource again = await RunningSource.StartAsync(source);
        await Condition.WaitAsync("it is online again", () => Count("got online") == 2);

        // Another takes its name, and the broker throws it out: the will speaks.
        using var thief = new RawDevice(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, _broker.Port));
        thief.Send(0x10, [0, 4, .. "MQTT"u8, 4, 2, 0, 60, 0, 4, .. "edge"u8]);
        await Condition.WaitAsync("it is offline again", () => Count("got offline") == 2);

        int Count(string line) => listener.Output.Split('\n').Count(printed => printed == line);
    }

    [Theory]
    [InlineData(MqttProtocol.V5)]
    [InlineData(MqttProtocol.V311)]
    public async Task Message_that_is_too_large_does_not_keep_the_next_from_coming(MqttProtocol protocol)
    {
        string large = _directory.At("large");
        await File.WriteAllBytesAsync(large, new byte[64 * 1024 * 1024], TestContext.Current.CancellationToken);
        MqttClientSource source = Source(options => options with { Protocol = protocol });
        await using RunningSource run = await RunningSource.StartAsync(source);
        Assert.Equal(0, (await MosquittoClient.PublishAsync(_broker.Port, "-q", "1", "-t", "s/a/t", "-f", large)).Code);
        await PublishAsync("s/a/t", "small");

        await Condition.WaitAsync("the small one came", () => _sink.StoredValues is ["small"]);

        // In MQTT 5 the broker keeps it back, and nothing is to be counted here.
        Assert.Equal(protocol == MqttProtocol.V5 ? 0 : 1, source.Counters.Dropped);
    }

    [Theory]
    [InlineData(MqttProtocol.V5)]
    [InlineData(MqttProtocol.V311)]
    public async Task Large_messages_take_the_place_of_several(MqttProtocol protocol)
    {
        string large = _directory.At("large");
        await File.WriteAllBytesAsync(large, new byte[512 * 1024], TestContext.Current.CancellationToken);
        await using RunningSource run = await RunningSource.StartAsync(Source(options => options with { Protocol = protocol, MaxInFlight = 20 }));
        _sink.Close();
        for (int count = 0; count < 10; count++)
            await MosquittoClient.PublishAsync(_broker.Port, "-q", "1", "-t", "s/a/t", "-f", large);

        await Condition.WaitAsync("as many as there is room for are offered", () => _sink.Offered.Count == 2);
        _sink.Open();
        await Condition.WaitAsync("all came", () => _sink.Stored.Count == 10);
    }

    [Theory]
    [InlineData(MqttProtocol.V5)]
    [InlineData(MqttProtocol.V311)]
    public async Task Broker_that_has_lost_the_session_is_subscribed_to_again(MqttProtocol protocol)
    {
        await using var supervisor = new SourceSupervisor(
            [Source(options => options with { Protocol = protocol })], TimeProvider.System, NullLogger<SourceSupervisor>.Instance);
        supervisor.Start();
        await Condition.WaitAsync("the source runs", () => supervisor.Statuses[0].State == SourceState.Running);

        // Killed before it has saved anything: it comes back without sessions.
        _broker.Kill();
        await Condition.WaitAsync("the source waits", () => supervisor.Statuses[0].State == SourceState.Waiting);
        await _broker.StartAsync();
        await Condition.WaitAsync("the source runs again", () => supervisor.Statuses[0].State == SourceState.Running);
        await PublishAsync("s/a/t", "after");

        await Condition.WaitAsync("it came", () => _sink.StoredValues is ["after"]);
        Assert.Contains("Sending CONNACK to edge (0, 0)", _broker.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(MqttProtocol.V5)]
    [InlineData(MqttProtocol.V311)]
    public async Task Broker_that_hangs_is_noticed_by_keep_alive(MqttProtocol protocol)
    {
        await using RunningSource run = await RunningSource.StartAsync(
            Source(options => options with { Protocol = protocol, KeepAlive = TimeSpan.FromSeconds(1) }));

        _broker.Freeze();

        IOException lost = await Assert.ThrowsAsync<IOException>(() => run.Ended.WaitAsync(TimeSpan.FromSeconds(60)));
        Assert.StartsWith($"lost mqtt://127.0.0.1:{_broker.Port}: ", lost.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Flood_of_QoS_0_is_taken_as_fast_as_the_log_takes_it()
    {
        string lines = _directory.At("lines");
        await File.WriteAllLinesAsync(lines, Enumerable.Range(0, 20_000).Select(i => $"{i}"), TestContext.Current.CancellationToken);
        MqttClientSource source = Source(options => options);
        await using RunningSource run = await RunningSource.StartAsync(source);
        using ChildProcess device = ChildProcess.Start(
            "device", "/bin/sh", ["-c", $"exec /usr/bin/mosquitto_pub -p {_broker.Port} -q 0 -t s/a/t -l < {lines}"]);

        await Condition.WaitAsync("all came", () => source.Counters.Stored == 20_000);
        Assert.Equal("19999", _sink.StoredValues[^1]);
    }

    private MqttClientSource Source(Func<MqttSourceOptions, MqttSourceOptions> choose) => new(
        choose(new MqttSourceOptions
        {
            Broker = new Uri($"mqtt://127.0.0.1:{_broker.Port}"),
            ClientId = "edge",
            Rules = [new MqttTopicRule("s/+/t", "readings", "{1}")],
        }),
        _sink,
        TimeProvider.System,
        NullLogger<MqttClientSource>.Instance);

    private async Task PublishAsync(string topic, string value, params string[] more) =>
        Assert.Equal((0, ""), await MosquittoClient.PublishAsync(_broker.Port, ["-q", "1", "-t", topic, "-m", value, .. more]));
}
