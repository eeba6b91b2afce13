using System.Collections.Concurrent;
using System.Text;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Harness;
using Microsoft.Extensions.Logging.Abstractions;
using MQTTnet;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Tests.Mqtt;

/// <summary>Against a real Mosquitto and somebody who listens there.</summary>
public sealed class MqttClientSinkTests : IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();
    private readonly ListFeed _feed = new();
    private readonly MosquittoBroker _broker;
    private readonly ConcurrentQueue<(string Topic, string Payload, int Qos, bool Retain)> _heard = new();

    public MqttClientSinkTests() => _broker = new MosquittoBroker(_directory.Path);

    public async ValueTask InitializeAsync() => await _broker.StartAsync();

    public ValueTask DisposeAsync()
    {
        _broker.Dispose();
        _directory.Dispose();
        return ValueTask.CompletedTask;
    }

    [Theory]
    [InlineData(MqttProtocol.V5, 0)]
    [InlineData(MqttProtocol.V5, 1)]
    [InlineData(MqttProtocol.V311, 1)]
    [InlineData(MqttProtocol.V311, 2)]
    public async Task Records_are_published_in_their_order(MqttProtocol protocol, int qos)
    {
        using IMqttClient listener = await ListenAsync();
        MqttClientSink sink = Sink(protocol, qos);
        await using RunningSource run = await RunningSource.StartAsync(sink);
        _feed.Add("on", "pump");
        _feed.Add("", "lamp");
        _feed.Add("off", "pump");
        await Condition.WaitAsync("all three are heard", () => _heard.Count == 3);
        Assert.Equal(
            [("site/commands/pump", "on", qos, false), ("site/commands/lamp", "", qos, false), ("site/commands/pump", "off", qos, false)], _heard);
        await Condition.WaitAsync("all three are done", () => _feed.Done == 3);
        Assert.Equal((3, 0), (sink.Counters.Stored, sink.Counters.Dropped));
    }

    [Fact]
    public async Task Retained_message_is_there_for_who_comes_later()
    {
        await using RunningSource run = await RunningSource.StartAsync(Sink(MqttProtocol.V5, retain: true));
        _feed.Add("21", "setpoint");
        await Condition.WaitAsync("it is done", () => _feed.Done == 1);
        using IMqttClient listener = await ListenAsync();
        await Condition.WaitAsync("it is heard", () => _heard.ToArray() is [("site/commands/setpoint", "21", 1, true)]);
    }

    [Fact]
    public async Task Key_that_cannot_be_part_of_a_topic_is_refused_and_the_sink_goes_on()
    {
        using IMqttClient listener = await ListenAsync();
        MqttClientSink sink = Sink(MqttProtocol.V5);
        await using RunningSource run = await RunningSource.StartAsync(sink);
        _feed.Add("on", "#");
        _feed.Add("on");
        _feed.Add("on", "pump");
        await Condition.WaitAsync("all are done", () => _feed.Done == 3);
        Assert.Equal((1, 2), (sink.Counters.Stored, sink.Counters.Dropped));
        Assert.Equal("offset 1 of commands was not published: it has no key that can stand in an MQTT topic", sink.Counters.LastDrop);
        await Condition.WaitAsync("the good one is heard", () => _heard.Count == 1);
    }

    [Fact]
    public async Task Killed_broker_is_waited_for_and_nothing_is_left_out()
    {
        // Retained, so that who listens again hears the last one however early it was published.
        await using var supervisor = new SourceSupervisor([Sink(MqttProtocol.V5, retain: true)], TimeProvider.System, NullLogger<SourceSupervisor>.Instance, "sink");
        supervisor.Start();
        await Condition.WaitAsync("the sink runs", () => supervisor.Statuses[0].State == SourceState.Running);
        _broker.Kill();
        await Condition.WaitAsync("the sink waits", () => supervisor.Statuses[0] is { State: SourceState.Waiting, LastError.Length: > 0 });
        _feed.Add("on", "pump");
        _feed.Add("off", "pump");

        await _broker.StartAsync();
        using IMqttClient listener = await ListenAsync();
        await Condition.WaitAsync("both are done", () => _feed.Done == 2);
        await Condition.WaitAsync("the last is heard", () => _heard.Any(message => message.Payload == "off"));
        Assert.Equal(SourceState.Running, supervisor.Statuses[0].State);
    }

    private MqttClientSink Sink(MqttProtocol protocol, int qos = 1, bool retain = false) => new(
        new MqttSinkOptions
        {
            Broker = new Uri($"mqtt://127.0.0.1:{_broker.Port}"),
            ClientId = "edge",
            Protocol = protocol,
            Topic = "commands",
            Publish = "site/{topic}/{key}",
            Qos = qos,
            Retain = retain,
        },
        _feed,
        TimeProvider.System,
        NullLogger<MqttClientSink>.Instance);

    private async Task<IMqttClient> ListenAsync()
    {
        IMqttClient client = new MqttClientFactory().CreateMqttClient();
        client.ApplicationMessageReceivedAsync += received =>
        {
            MqttApplicationMessage message = received.ApplicationMessage;
            _heard.Enqueue((message.Topic, Encoding.UTF8.GetString(message.Payload), (int)message.QualityOfServiceLevel, message.Retain));
            return Task.CompletedTask;
        };
        await client.ConnectAsync(new MqttClientOptionsBuilder().WithTcpServer("127.0.0.1", _broker.Port).WithClientId("listener").Build());
        await client.SubscribeAsync("site/#", MqttQualityOfServiceLevel.ExactlyOnce);
        return client;
    }
}
