using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Harness;
using Microsoft.Extensions.Logging.Abstractions;
using MQTTnet;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Tests.Mqtt;

/// <summary>Against a real Mosquitto, whose own log says what was sent and what was acknowledged.</summary>
public sealed class MqttClientSourceTests : IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();
    private readonly RecordingSink _sink = new();
    private readonly MosquittoBroker _broker;

    public MqttClientSourceTests() => _broker = new MosquittoBroker(_directory.Path);

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
    public async Task Message_is_acknowledged_when_it_is_durable_and_not_before(MqttProtocol protocol)
    {
        await using RunningSource run = await RunningSource.StartAsync(Source(protocol));
        _sink.Close();
        await PublishAsync("s/kitchen/t", "1", "2", "3");
        await Condition.WaitAsync("all three are offered", () => _sink.Offered.Count == 3);
        Assert.Empty(Acknowledged());

        _sink.Open();

        await Condition.WaitAsync("all three are acknowledged", () => Acknowledged().Count == 3);
        Assert.Equal(Sent(), Acknowledged());
        Assert.Equal(["1", "2", "3"], _sink.StoredValues);
    }

    [Theory]
    [InlineData(MqttProtocol.V5)]
    [InlineData(MqttProtocol.V311)]
    public async Task Acknowledgements_come_in_the_order_of_arrival_with_many_on_their_way(MqttProtocol protocol)
    {
        await using RunningSource run = await RunningSource.StartAsync(Source(protocol));
        string[] values = [.. Enumerable.Range(0, 100).Select(i => i.ToString(CultureInfo.InvariantCulture))];
        await PublishAsync("s/kitchen/t", values);

        await Condition.WaitAsync("all are acknowledged", () => Acknowledged().Count == values.Length);
        Assert.Equal(Sent(), Acknowledged());
        Assert.Equal(values, _sink.StoredValues);
    }

    [Theory]
    [InlineData(MqttProtocol.V5)]
    [InlineData(MqttProtocol.V311)]
    public async Task What_was_not_acknowledged_comes_again_on_the_next_run(MqttProtocol protocol)
    {
        MqttClientSource source = Source(protocol);
        await using (RunningSource run = await RunningSource.StartAsync(source))
        {
            _sink.Fails = record => record.Value.Span.SequenceEqual("2"u8);
            await PublishAsync("s/kitchen/t", "1", "2", "3");
            Exception failure = await Assert.ThrowsAnyAsync<Exception>(() => run.Ended);
            Assert.Contains("disk is broken", failure.Message, StringComparison.Ordinal);
        }

        _sink.Fails = _ => false;
        await using RunningSource next = await RunningSource.StartAsync(source);

        // "3" may have been stored before the run ended; then it is in the log twice, which QoS 1 allows.
        await Condition.WaitAsync("2 and 3 came again", () => _sink.StoredValues.Contains("2") && _sink.StoredValues[^1] == "3");
        Assert.Equal("1", _sink.StoredValues[0]);
    }

    [Theory]
    [InlineData(MqttProtocol.V5)]
    [InlineData(MqttProtocol.V311)]
    public async Task Session_outlives_the_connection(MqttProtocol protocol)
    {
        MqttClientSource source = Source(protocol);
        await using (RunningSource run = await RunningSource.StartAsync(source))
            await run.StopAsync();

        await PublishAsync("s/kitchen/t", "while away");
        await using RunningSource next = await RunningSource.StartAsync(source);

        await Condition.WaitAsync("it came", () => _sink.StoredValues is ["while away"]);
    }

    [Theory]
    [InlineData(MqttProtocol.V5)]
    [InlineData(MqttProtocol.V311)]
    public async Task Filter_that_is_among_the_rules_no_more_is_taken_back_from_the_session(MqttProtocol protocol)
    {
        var files = new MemoryFiles();
        MqttTopicRule kept = new("s/+/t", "readings", "{1}"), gone = new("old/#", "readings");
        await using (RunningSource before = await RunningSource.StartAsync(WithRules(kept, gone)))
            await before.StopAsync();

        MqttClientSource source = WithRules(kept);
        await using (RunningSource run = await RunningSource.StartAsync(source))
        {
            await PublishAsync("old/a", "not wanted any more");
            await PublishAsync("s/kitchen/t", "wanted");
            await Condition.WaitAsync("it came", () => _sink.StoredValues is ["wanted"]);
            Assert.Equal((1, 0), (source.Counters.Received, source.Counters.Dropped));
            await run.StopAsync();
        }

        // What is remembered is what is there: nothing is written again for the same.
        int writes = files.Writes;
        await using RunningSource again = await RunningSource.StartAsync(source);
        Assert.Equal(writes, files.Writes);

        MqttClientSource WithRules(params MqttTopicRule[] rules) => new(
            new MqttSourceOptions { Broker = new Uri($"mqtt://127.0.0.1:{_broker.Port}"), ClientId = "edge", Protocol = protocol, Rules = rules },
            _sink,
            TimeProvider.System,
            NullLogger<MqttClientSource>.Instance,
            files);
    }

    [Fact]
    public async Task Disk_that_cannot_remember_the_filters_does_not_keep_the_source_from_its_work()
    {
        var log = new LogLines<MqttClientSource>();
        var source = new MqttClientSource(
            new MqttSourceOptions
            {
                Broker = new Uri($"mqtt://127.0.0.1:{_broker.Port}"),
                ClientId = "edge",
                Rules = [new MqttTopicRule("s/+/t", "readings")],
            },
            _sink,
            TimeProvider.System,
            log,
            new MemoryFiles { IsFull = true });
        await using RunningSource run = await RunningSource.StartAsync(source);
        await PublishAsync("s/kitchen/t", "1");

        await Condition.WaitAsync("it came", () => _sink.StoredValues is ["1"]);
        Assert.Contains(log.All, line => line.Contains("cannot be remembered: no space left", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Stop_lets_what_is_on_its_way_become_durable_and_acknowledges_it()
    {
        RunningSource run = await RunningSource.StartAsync(Source(MqttProtocol.V5));
        _sink.Close();
        await PublishAsync("s/kitchen/t", "1", "2");
        await Condition.WaitAsync("both are offered", () => _sink.Offered.Count == 2);

        Task stopped = run.StopAsync();
        _sink.Open();
        await stopped;

        Assert.Equal(["1", "2"], _sink.StoredValues);
        await Condition.WaitAsync("both are acknowledged", () => Acknowledged().Count == 2);
        await run.DisposeAsync();
    }

    [Fact]
    public async Task Killed_broker_ends_the_run_and_the_supervisor_connects_again()
    {
        await using var supervisor = new SourceSupervisor([Source(MqttProtocol.V5)], TimeProvider.System, NullLogger<SourceSupervisor>.Instance);
        supervisor.Start();
        await Condition.WaitAsync("the source runs", () => supervisor.Statuses[0].State == SourceState.Running);
        await _broker.SaveAsync();

        _broker.Kill();
        await Condition.WaitAsync("the source waits", () => supervisor.Statuses[0] is { State: SourceState.Waiting, LastError.Length: > 0 });
        await _broker.StartAsync();

        await Condition.WaitAsync("the source runs again", () => supervisor.Statuses[0].State == SourceState.Running);
        await PublishAsync("s/kitchen/t", "after");
        await Condition.WaitAsync("it came", () => _sink.StoredValues is ["after"]);
    }

    [Fact]
    public async Task Broker_that_is_down_at_the_start_is_waited_for()
    {
        _broker.Kill();
        await using var supervisor = new SourceSupervisor([Source(MqttProtocol.V5)], TimeProvider.System, NullLogger<SourceSupervisor>.Instance);
        supervisor.Start();
        await Condition.WaitAsync("the source waits", () => supervisor.Statuses[0] is { State: SourceState.Waiting, LastError.Length: > 0 });

        await _broker.StartAsync();

        await Condition.WaitAsync("the source runs", () => supervisor.Statuses[0].State == SourceState.Running);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(256 * 1024)]
    [InlineData(1024 * 1024)]
    public async Task Payload_of_any_size_is_stored_as_it_came(int size)
    {
        byte[] payload = new byte[size];
        new Random(size).NextBytes(payload);
        await using RunningSource run = await RunningSource.StartAsync(Source(MqttProtocol.V5));
        await PublishAsync(builder => builder.WithTopic("s/kitchen/t").WithPayload(payload));

        await Condition.WaitAsync("it came", () => _sink.Stored.Count == 1);
        Assert.Equal(payload, _sink.Stored[0].Value.ToArray());
    }

    [Theory]
    [InlineData(1_000_001)]
    [InlineData(3_000_000)]
    [InlineData(100_000_000)]
    public async Task Message_that_is_too_large_is_read_past_and_does_not_keep_the_next_from_coming(int size)
    {
        MqttClientSource source = Source(MqttProtocol.V311, maxPayloadBytes: 1_000_000);
        await using RunningSource run = await RunningSource.StartAsync(source);
        string file = Path.Combine(_directory.Path, "large");
        using (FileStream large = File.Create(file))
            large.SetLength(size);

        Assert.Equal((0, ""), await MosquittoClient.PublishAsync(_broker.Port, "-V", "311", "-q", "1", "-t", "s/kitchen/t", "-f", file));
        await PublishAsync("s/kitchen/t", "next");

        await Condition.WaitAsync("the next one is stored and both are acknowledged", () => Acknowledged().Count == 2);
        Assert.Equal(["next"], _sink.StoredValues);
        Assert.Equal((1, "a payload of more than 1000000 bytes; max-message takes larger ones"), (source.Counters.Dropped, source.Counters.LastDrop));
        Assert.False(run.Ended.IsCompleted);
    }

    [Fact]
    public async Task Refused_message_is_counted_and_does_not_keep_the_next_from_coming()
    {
        MqttClientSource source = Source(MqttProtocol.V5);
        _sink.Rejects = record => record.Value.Span.SequenceEqual("poison"u8);
        await using RunningSource run = await RunningSource.StartAsync(source);
        await PublishAsync("s/kitchen/t", "good", "poison", "better");

        await Condition.WaitAsync("all three are acknowledged", () => Acknowledged().Count == 3);
        Assert.Equal(["good", "better"], _sink.StoredValues);
        Assert.Equal((3, 2, 1), (source.Counters.Received, source.Counters.Stored, source.Counters.Dropped));
        Assert.Equal("the test refuses it", source.Counters.LastDrop);
    }

    [Theory]
    [InlineData(MqttProtocol.V5)]
    [InlineData(MqttProtocol.V311)]
    public async Task Slow_log_bounds_what_is_on_its_way(MqttProtocol protocol)
    {
        const int MaxInFlight = 10;
        await using RunningSource run = await RunningSource.StartAsync(Source(protocol, MaxInFlight));
        _sink.Close();
        await PublishAsync("s/kitchen/t", [.. Enumerable.Range(0, 200).Select(i => $"{i}")]);
        await Condition.WaitAsync("as many as may be are offered", () => _sink.Offered.Count >= MaxInFlight);

        Assert.Equal(MaxInFlight, _sink.Offered.Count);
        _sink.Open();
        await Condition.WaitAsync("all came", () => _sink.Stored.Count == 200);
    }

    [Theory]
    [InlineData(MqttProtocol.V5)]
    [InlineData(MqttProtocol.V311)]
    public async Task Slow_log_bounds_qos_0_too_where_no_receive_maximum_does(MqttProtocol protocol)
    {
        const int MaxInFlight = 10;
        await using RunningSource run = await RunningSource.StartAsync(Source(protocol, MaxInFlight));
        _sink.Close();

        // Mosquitto may drop QoS 0, so it is sent until enough has come, and then as much again.
        await Condition.WaitAsync(
            () => "as many as may be are offered",
            async () =>
            {
                await PublishQos0Async(MaxInFlight);
                return _sink.Offered.Count >= MaxInFlight;
            });
        await PublishQos0Async(100);

        Assert.Equal(MaxInFlight, _sink.Offered.Count);
        _sink.Open();
    }

    [Fact]
    public async Task Properties_and_topic_become_headers()
    {
        await using RunningSource run = await RunningSource.StartAsync(Source(MqttProtocol.V5));
        await PublishAsync(builder => builder.WithTopic("s/kitchen/t").WithPayload("x").WithContentType("text/plain").WithUserProperty("unit", Encoding.UTF8.GetBytes("°C")));

        await Condition.WaitAsync("it came", () => _sink.Stored.Count == 1);
        SourceRecord record = _sink.Stored[0];
        Assert.Equal("readings", record.Topic);
        Assert.Equal("kitchen", Encoding.UTF8.GetString(record.Key!.Value.Span));
        Assert.Equal(
            [("unit", "°C"), ("content-type", "text/plain"), ("mqtt.topic", "s/kitchen/t")],
            record.Headers.Select(header => (header.Key, Encoding.UTF8.GetString(header.Value.Span))));
    }

    [Fact]
    public async Task Retained_message_says_so()
    {
        await PublishAsync(builder => builder.WithTopic("s/kitchen/t").WithPayload("old").WithRetainFlag());
        await using RunningSource run = await RunningSource.StartAsync(Source(MqttProtocol.V5));

        await Condition.WaitAsync("it came", () => _sink.Stored.Count == 1);
        Assert.Contains(_sink.Stored[0].Headers, header => header.Key == "mqtt.retain");
    }

    private MqttClientSource Source(MqttProtocol protocol, int maxInFlight = 512, int maxPayloadBytes = 1024 * 1024) => new(
        new MqttSourceOptions
        {
            Broker = new Uri($"mqtt://127.0.0.1:{_broker.Port}"),
            ClientId = "edge",
            Protocol = protocol,
            MaxInFlight = maxInFlight,
            MaxPayloadBytes = maxPayloadBytes,
            Rules = [new MqttTopicRule("s/+/t", "readings", "{1}")],
        },
        _sink,
        TimeProvider.System,
        NullLogger<MqttClientSource>.Instance);

    private Task PublishQos0Async(int count) => PublishAsync(
        [.. Enumerable.Repeat<Func<MqttApplicationMessageBuilder, MqttApplicationMessageBuilder>>(
            builder => builder.WithTopic("s/kitchen/t").WithPayload("x").WithQualityOfServiceLevel(MqttQualityOfServiceLevel.AtMostOnce), count)]);

    private Task PublishAsync(string topic, params string[] values) =>
        PublishAsync([.. values.Select(value => (Func<MqttApplicationMessageBuilder, MqttApplicationMessageBuilder>)(
            builder => builder.WithTopic(topic).WithPayload(value)))]);

    private async Task PublishAsync(params Func<MqttApplicationMessageBuilder, MqttApplicationMessageBuilder>[] messages)
    {
        using IMqttClient device = new MqttClientFactory().CreateMqttClient();
        await device.ConnectAsync(new MqttClientOptionsBuilder().WithTcpServer("127.0.0.1", _broker.Port).WithClientId("device").Build());
        foreach (Func<MqttApplicationMessageBuilder, MqttApplicationMessageBuilder> message in messages)
        {
            MqttApplicationMessageBuilder builder = new MqttApplicationMessageBuilder().WithQualityOfServiceLevel(MqttQualityOfServiceLevel.AtLeastOnce);
            await device.PublishAsync(message(builder).Build());
        }

        await device.DisconnectAsync();
    }

    // Packet identifiers, by Mosquitto's own log.
    private List<string> Sent() => InLog(@"Sending PUBLISH to edge \(d\d, q1, r\d, m(\d+),");

    private List<string> Acknowledged() => InLog(@"Received PUBACK from edge \(Mid: (\d+),");

    private List<string> InLog(string pattern) => [.. Regex.Matches(_broker.Output, pattern).Select(match => match.Groups[1].Value)];
}
