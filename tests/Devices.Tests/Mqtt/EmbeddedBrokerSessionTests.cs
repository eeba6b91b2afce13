using System.Globalization;
using System.Net;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Harness;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Devices.Tests.Mqtt;

/// <summary>What outlives a connection: sessions, retained messages, wills and QoS 2, with Mosquitto's clients and by hand.</summary>
public sealed class EmbeddedBrokerSessionTests : IAsyncLifetime
{
    private readonly RecordingSink _sink = new();
    private readonly EmbeddedBroker _broker;
    private RunningSource? _run;

    public EmbeddedBrokerSessionTests() => _broker = new EmbeddedBroker(
        new EmbeddedBrokerOptions { Listen = new IPEndPoint(IPAddress.Loopback, 0), Rules = [new MqttTopicRule("s/+/t", "readings", "{1}")] },
        _sink,
        TimeProvider.System,
        NullLogger<EmbeddedBroker>.Instance);

    private int Port => _broker.BoundEndpoint!.Port;

    public async ValueTask InitializeAsync() => _run = await RunningSource.StartAsync(_broker);

    public ValueTask DisposeAsync() => _run!.DisposeAsync();

    [Theory]
    [InlineData("311", 0)]
    [InlineData("311", 1)]
    [InlineData("5", 1)]
    [InlineData("5", 2)]
    public async Task Foreign_clients_publish_and_subscribe(string version, int qos)
    {
        string level = qos.ToString(CultureInfo.InvariantCulture);
        using ChildProcess listener = await MosquittoClient.SubscribeAsync(Port, "-V", version, "-q", level, "-t", "s/#", "-F", "got %t %p %q");
        Assert.Equal((0, ""), await MosquittoClient.PublishAsync(Port, "-V", version, "-q", level, "-t", "s/a/t", "-m", "21.5"));

        await listener.WaitForLineAsync($"^got s/a/t 21.5 {qos}$");
        Assert.Equal(["21.5"], _sink.StoredValues);
    }

    [Fact]
    public void Device_is_sent_no_more_at_once_than_it_takes_and_nothing_else_waits_behind()
    {
        const int Most = 2, Messages = 5;
        using var subscriber = new RawDevice(_broker.BoundEndpoint!);
        subscriber.Send(0x10, [0, 4, .. "MQTT"u8, 5, 2, 0, 60, 3, 0x21, 0, Most, 0, 3, .. "sub"u8]);
        Assert.Equal((0x20, 0), (subscriber.Receive(out byte[] body), body[1]));
        subscriber.Send(0x82, [0, 1, 0, 0, 5, .. "s/+/t"u8, 1]);
        Assert.Equal((0x90, 1), (subscriber.Receive(out body), body[^1]));

        using RawDevice publisher = RawDevice.Connected(_broker.BoundEndpoint!, "pub");
        for (ushort id = 1; id <= Messages; id++)
        {
            publisher.Publish(0x32, "s/a/t", id, $"{id}");
            Assert.Equal(0x40, publisher.Receive(out _));
        }

        var unacknowledged = new Queue<byte[]>();
        for (int expected = 1; expected <= Messages; expected++)
        {
            if (unacknowledged.Count == Most)
            {
                // Nothing but the answer comes.
                subscriber.Send(0xC0);
                Assert.Equal(0xD0, subscriber.Receive(out _));
                subscriber.Send(0x40, unacknowledged.Dequeue());
            }

            Assert.Equal((0x32, (byte)('0' + expected)), (subscriber.Receive(out body), body[^1]));
            unacknowledged.Enqueue(body[7..9]);
        }
    }

    [Theory]
    [InlineData("311")]
    [InlineData("5")]
    public async Task Session_keeps_what_comes_while_its_subscriber_is_away(string version)
    {
        string[] session = version == "5" ? ["-c", "-x", "3600"] : ["-c"];
        using (ChildProcess first = await MosquittoClient.SubscribeAsync(Port, [.. session, "-V", version, "-i", "display", "-q", "1", "-t", "s/#"]))
            await first.StopAsync();

        Assert.Equal(0, (await MosquittoClient.PublishAsync(Port, "-q", "1", "-t", "s/a/t", "-m", "while away")).Code);

        using ChildProcess again = await MosquittoClient.SubscribeAsync(
            Port, [.. session, "-V", version, "-i", "display", "-q", "1", "-t", "s/#", "-F", "got %p"]);
        await again.WaitForLineAsync("^got while away$");
    }

    [Fact]
    public async Task Retained_message_is_there_for_who_comes_later()
    {
        await MosquittoClient.PublishAsync(Port, "-r", "-q", "1", "-t", "s/a/t", "-m", "last");
        using ChildProcess listener = await MosquittoClient.SubscribeAsync(Port, "-t", "s/#", "-F", "got %p %r");

        await listener.WaitForLineAsync("^got last 1$");
    }

    [Fact]
    public async Task Will_of_a_device_that_vanishes_is_stored_and_passed_on()
    {
        using ChildProcess listener = await MosquittoClient.SubscribeAsync(Port, "-t", "s/#", "-F", "got %p");
        using (var device = new RawDevice(_broker.BoundEndpoint!))
        {
            device.Send(0x10, [0, 4, .. "MQTT"u8, 4, 0b0000_1110, 0, 60, 0, 1, (byte)'d', 0, 5, .. "s/a/t"u8, 0, 4, .. "gone"u8]);
            Assert.Equal(0x20, device.Receive(out _));
        }

        await listener.WaitForLineAsync("^got gone$");
        Assert.Equal(["gone"], _sink.StoredValues);
    }

    [Fact]
    public void Message_of_QoS_2_that_is_sent_again_in_its_session_is_stored_once()
    {
        using (RawDevice device = RawDevice.Connected(_broker.BoundEndpoint!, "meter"))
        {
            device.Publish(0x34, "s/a/t", 9, "1");
            Assert.Equal(0x50, device.Receive(out _));
        }

        // It has not heard PUBREC, and comes back.
        using RawDevice again = RawDevice.Connected(_broker.BoundEndpoint!, "meter");
        again.Publish(0x3C, "s/a/t", 9, "1");
        Assert.Equal(0x50, again.Receive(out _));
        again.Send(0x62, 0, 9);
        Assert.Equal(0x70, again.Receive(out _));
        Assert.Equal(["1"], _sink.StoredValues);

        // The number is free, and means another message now.
        again.Publish(0x34, "s/a/t", 9, "2");
        Assert.Equal(0x50, again.Receive(out _));
        Assert.Equal(["1", "2"], _sink.StoredValues);
    }

    [Fact]
    public void Message_of_QoS_2_that_no_rule_stores_is_passed_on_once()
    {
        using RawDevice reader = RawDevice.Connected(_broker.BoundEndpoint!, "reader");
        reader.Send(0x82, [0, 1, 0, 7, .. "other/a"u8, 0]);
        Assert.Equal(0x90, reader.Receive(out _));
        using RawDevice device = RawDevice.Connected(_broker.BoundEndpoint!, "meter");
        device.Publish(0x34, "other/a", 9, "1");
        Assert.Equal(0x50, device.Receive(out _));
        device.Publish(0x3C, "other/a", 9, "1");
        Assert.Equal(0x50, device.Receive(out _));
        device.Send(0x62, 0, 9);
        Assert.Equal(0x70, device.Receive(out _));
        device.Publish(0x34, "other/a", 9, "2");
        Assert.Equal(0x50, device.Receive(out _));

        Assert.Equal((0x30, (byte)'1'), (reader.Receive(out byte[] first), first[^1]));
        Assert.Equal((0x30, (byte)'2'), (reader.Receive(out byte[] second), second[^1]));
    }

    [Fact]
    public async Task Message_of_QoS_2_whose_storing_outlives_its_connection_is_stored_once()
    {
        _sink.Close();
        using (RawDevice device = RawDevice.Connected(_broker.BoundEndpoint!, "meter"))
        {
            device.Publish(0x34, "s/a/t", 9, "1");
            await Condition.WaitAsync("it is offered", () => _sink.Offered.Count == 1);
        }

        using RawDevice again = RawDevice.Connected(_broker.BoundEndpoint!, "meter");
        again.Publish(0x3C, "s/a/t", 9, "1");
        _sink.Open();
        Assert.Equal(0x50, again.Receive(out _));
        Assert.Equal(["1"], _sink.StoredValues);
    }
}
