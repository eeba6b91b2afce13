using System.Text.RegularExpressions;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Harness;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using MQTTnet;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Tests.Mqtt;

/// <summary>A rate limit in front of a real Mosquitto: the broker keeps what is too much, and nothing is lost.</summary>
public sealed class RateLimitTests
{
    [Fact]
    public async Task Broker_keeps_what_is_above_the_limit_and_all_of_it_comes_in_its_order()
    {
        using var directory = new TemporaryDirectory();
        using var broker = new MosquittoBroker(directory.Path);
        await broker.StartAsync();
        var sink = new RecordingSink();
        var time = new FakeTimeProvider();
        var source = new MqttClientSource(
            new MqttSourceOptions { Broker = new Uri($"mqtt://127.0.0.1:{broker.Port}"), ClientId = "edge", Rules = [new MqttTopicRule("t", "readings", null)] },
            new LimitedSink(sink, new RateLimit(5, TimeSpan.FromMinutes(1)), AboveLimit.Wait, time),
            TimeProvider.System,
            NullLogger<MqttClientSource>.Instance);
        await using RunningSource run = await RunningSource.StartAsync(source);
        using IMqttClient device = new MqttClientFactory().CreateMqttClient();
        await device.ConnectAsync(new MqttClientOptionsBuilder().WithTcpServer("127.0.0.1", broker.Port).WithClientId("device").Build());
        for (int i = 0; i < 20; i++)
            await device.PublishAsync(new MqttApplicationMessageBuilder().WithTopic("t").WithPayload($"{i}").WithQualityOfServiceLevel(MqttQualityOfServiceLevel.AtLeastOnce).Build());

        await Condition.WaitAsync("all have arrived", () => source.Counters.Received == 20);
        await Condition.WaitAsync("five are acknowledged", () => Acknowledged(broker) == 5);
        Assert.Equal(5, sink.Stored.Count);

        await Condition.WaitAsync("all are acknowledged", () =>
        {
            time.Advance(TimeSpan.FromSeconds(12));
            return Acknowledged(broker) == 20;
        });
        Assert.Equal(Enumerable.Range(0, 20).Select(i => $"{i}"), sink.StoredValues);
        Assert.Equal(0, source.Counters.Dropped);
    }

    private static int Acknowledged(MosquittoBroker broker) => Regex.Count(broker.Output, "Received PUBACK from edge");
}
