using System.Net;
using System.Text;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Devices.Mqtt.Broker;
using EdgeStream.Harness;

namespace EdgeStream.Devices.Tests.Mqtt;

/// <summary>Devices that send what they should not: each is told and ended, and the others do not notice.</summary>
public sealed class EmbeddedBrokerBadInputTests : IAsyncLifetime
{
    private readonly RecordingSink _sink = new();
    private readonly LogLines<EmbeddedBroker> _log = new();
    private readonly EmbeddedBroker _broker;
    private RunningSource? _run;

    public EmbeddedBrokerBadInputTests() => _broker = new EmbeddedBroker(
        new EmbeddedBrokerOptions
        {
            Listen = new IPEndPoint(IPAddress.Loopback, 0),
            Rules = [new MqttTopicRule("s/+/t", "readings", "{1}")],
            MaxConnections = 3,
        },
        _sink,
        TimeProvider.System,
        _log);

    public async ValueTask InitializeAsync() => _run = await RunningSource.StartAsync(_broker);

    public ValueTask DisposeAsync() => _run!.DisposeAsync();

    [Fact]
    public async Task Packet_of_256_MB_before_the_login_is_not_read()
    {
        using RawDevice good = RawDevice.Connected(_broker.BoundEndpoint!, "good");
        using var bad = new RawDevice(_broker.BoundEndpoint!);
        long before = GC.GetTotalAllocatedBytes();

        bad.SendBytes(0x10, 0xFF, 0xFF, 0xFF, 0x7F);

        Assert.Equal(-1, bad.Receive(out _));
        // Of all threads, those of other tests included.
        Assert.InRange(GC.GetTotalAllocatedBytes() - before, 0, 250_000_000);
        await LoggedAsync("a device at 127.0.0.1:", "was disconnected: a packet of 268435455 bytes is over the limit of 1179648");
        AssertWorks(good);
    }

    [Fact]
    public async Task Packet_that_is_too_large_ends_the_connection_and_MQTT_5_says_why()
    {
        using RawDevice good = RawDevice.Connected(_broker.BoundEndpoint!, "good");
        using RawDevice bad = RawDevice.Connected(_broker.BoundEndpoint!, "bad", version: 5);

        bad.SendBytes(0x32, 0x80, 0x80, 0x80, 0x40);

        Assert.Equal(0xE0, bad.Receive(out byte[] body));
        Assert.Equal(0x95, body[0]);
        Assert.Equal(-1, bad.Receive(out _));
        await LoggedAsync("'bad' at 127.0.0.1:", "was disconnected: a packet of 134217728 bytes is over the limit of 1179648");
        AssertWorks(good);
    }

    [Theory]
    [InlineData(new byte[] { (byte)'s', (byte)'/', 0xC3, 0x28, (byte)'/', (byte)'t' }, "a topic is not valid UTF-8")]
    [InlineData(new byte[] { (byte)'s', (byte)'/', 0xFF, (byte)'/', (byte)'t' }, "a topic is not valid UTF-8")]
    [InlineData(new byte[] { (byte)'s', (byte)'/', (byte)'+', (byte)'/', (byte)'t' }, "a topic to publish to has + or # in it")]
    [InlineData(new byte[] { (byte)'s', (byte)'/', 0, (byte)'/', (byte)'t' }, "a topic has a null character in it")]
    public async Task Topic_that_is_none_ends_the_connection(byte[] topic, string reason)
    {
        using RawDevice good = RawDevice.Connected(_broker.BoundEndpoint!, "good");
        using RawDevice bad = RawDevice.Connected(_broker.BoundEndpoint!, "bad");

        bad.Send(0x32, [0, (byte)topic.Length, .. topic, 0, 1, .. "21.5"u8]);

        Assert.Equal(-1, bad.Receive(out _));
        await LoggedAsync("'bad' at 127.0.0.1:", $"was disconnected: {reason}");
        Assert.Empty(_sink.Offered);
        AssertWorks(good);
    }

    [Theory]
    [InlineData(0x82, new byte[] { 0, 1, 0, 5, (byte)'a', (byte)'/', (byte)'#', (byte)'/', (byte)'b', 1 }, "filter 'a/#/b': # must be alone, as its last level")]
    [InlineData(0x32, new byte[] { 0, 5, (byte)'s', (byte)'/', (byte)'a', (byte)'/', (byte)'t', 0, 0, (byte)'x' }, "a message to be acknowledged has no packet identifier")]
    [InlineData(0x30, new byte[] { 0, 0, (byte)'x' }, "a message has neither a topic nor an alias of one")]
    public async Task Packet_that_the_library_would_take_and_MQTT_does_not_allow_ends_the_connection(byte header, byte[] body, string reason)
    {
        using RawDevice good = RawDevice.Connected(_broker.BoundEndpoint!, "good");
        using RawDevice bad = RawDevice.Connected(_broker.BoundEndpoint!, "bad");

        bad.Send(header, body);

        Assert.Equal(-1, bad.Receive(out _));
        await LoggedAsync("'bad' at 127.0.0.1:", $"was disconnected: {reason}");
        Assert.Empty(_sink.Offered);
        AssertWorks(good);
    }

    [Theory]
    [InlineData(new byte[] { 0x26, 0, 1, 0xFF, 0, 1, (byte)'x' }, "the name of a user property is not valid UTF-8")]
    [InlineData(new byte[] { 0x26, 0, 1, (byte)'x', 0, 1, 0xFF }, "the value of a user property is not valid UTF-8")]
    [InlineData(new byte[] { 0x03, 0, 1, 0xFF }, "a content type is not valid UTF-8")]
    [InlineData(new byte[] { 0x08, 0, 1, 0 }, "a response topic has a null character in it")]
    public async Task Property_that_is_no_text_ends_the_connection_in_a_message_and_in_a_will(byte[] property, string reason)
    {
        using RawDevice publisher = RawDevice.Connected(_broker.BoundEndpoint!, "publisher", version: 5);
        publisher.Send(0x32, [0, 3, .. "s/x"u8, 0, 1, (byte)property.Length, .. property, .. "21.5"u8]);
        Assert.Equal(0xE0, publisher.Receive(out _));
        await LoggedAsync("'publisher' at 127.0.0.1:", $"was disconnected: {reason}");

        using var mortal = new RawDevice(_broker.BoundEndpoint!);
        mortal.Send(0x10, [
            0, 4, .. "MQTT"u8, 5, 0b0000_0110, 0, 60, 0, 0, 6, .. "mortal"u8,
            (byte)property.Length, .. property, 0, 6, .. "will/d"u8, 0, 1, (byte)'x']);
        await LoggedAsync("'mortal' at 127.0.0.1:", $"was disconnected: {reason}");
    }

    [Fact]
    public async Task What_is_no_MQTT_ends_the_connection()
    {
        using RawDevice good = RawDevice.Connected(_broker.BoundEndpoint!, "good");
        foreach (string noise in new[] { "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\0\0\0\0", "\u0010\u0004\0\u0002hi" })
        {
            using var bad = new RawDevice(_broker.BoundEndpoint!);
            bad.SendBytes(Encoding.Latin1.GetBytes(noise));
            Assert.Equal(-1, bad.Receive(out _));
        }

        await LoggedAsync("a device at 127.0.0.1:", "was disconnected: it does not speak MQTT");
        AssertWorks(good);
    }

    [Fact]
    public async Task Device_beyond_the_limit_is_turned_away_until_another_goes()
    {
        using RawDevice one = RawDevice.Connected(_broker.BoundEndpoint!, "1"), two = RawDevice.Connected(_broker.BoundEndpoint!, "2");
        RawDevice three = RawDevice.Connected(_broker.BoundEndpoint!, "3");
        using (var four = new RawDevice(_broker.BoundEndpoint!))
            Assert.Equal(-1, four.Receive(out _));

        await LoggedAsync("was turned away", "there are 3 connections already; max-connections lets more in");
        AssertWorks(one);
        three.Dispose();
        await Condition.WaitAsync("there is a place again", TryConnect);
    }

    [Fact]
    public async Task Flood_into_a_log_that_takes_nothing_stays_with_the_device()
    {
        const int Payload = 100;
        using RawDevice device = RawDevice.Connected(_broker.BoundEndpoint!, "flood");
        _sink.Close();
        long written = 0;
        byte[] packet = [0x30, 7 + Payload, 0, 5, .. "s/a/t"u8, .. Enumerable.Repeat((byte)'x', Payload)];
        byte[] burst = [.. Enumerable.Repeat(packet, 100).SelectMany(one => one)];
        Task flooding = Task.Run(() =>
        {
            try
            {
                for (; Volatile.Read(ref written) < 100_000_000; Interlocked.Add(ref written, burst.Length))
                    device.SendBytes(burst);
            }
            catch (Exception error) when (error is IOException or ObjectDisposedException)
            {
                // The test is over.
            }
        }, TestContext.Current.CancellationToken);

        // It stands still once the two sockets' buffers are full.
        long seen = -1;
        await Condition.WaitAsync("the device cannot send any more", () =>
        {
            long last = seen;
            seen = Volatile.Read(ref written);
            return seen > 0 && seen == last;
        });
        Assert.True(seen < 100_000_000, "the broker took all of it");
        Assert.Equal(ReadAhead.MaxPackets, _sink.Offered.Count);

        device.Dispose();
        await flooding;
        _sink.Open();
        await Condition.WaitAsync("what had been taken is stored", () => _sink.Stored.Count > 0);
    }

    [Fact]
    public async Task Ever_new_retained_topics_stop_being_kept_and_go_on_being_passed_on()
    {
        using RawDevice device = RawDevice.Connected(_broker.BoundEndpoint!, "talker");
        byte[] megabyte = new byte[1024 * 1024];
        for (byte topic = (byte)'a'; topic < 'a' + 20; topic++)
        {
            device.SendBytes([0x33, 0x86, 0x80, 0x40, 0, 2, (byte)'r', topic, 0, topic, .. megabyte]);
            Assert.Equal(0x40, device.Receive(out _));
        }

        await LoggedAsync("of talker is not kept for later subscribers", "16777216 bytes");
        using ChildProcess late = await MosquittoClient.SubscribeAsync(_broker.BoundEndpoint!.Port, "-t", "#", "-F", "got %t");
        await late.WaitForLineAsync("got ro");
        Assert.DoesNotContain("got rp", late.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Ever_new_sessions_of_devices_that_are_gone_are_forgotten()
    {
        for (int count = 0; count < 20; count++)
        {
            using RawDevice device = RawDevice.Connected(_broker.BoundEndpoint!, $"d{count}");
            device.Send(0xE0);
            Assert.Equal(-1, device.Receive(out _));
        }

        // That of the last is kept, that of the first is not. Bit 0 of CONNACK says so.
        Assert.Equal((1, 0), (SessionPresent("d19"), SessionPresent("d0")));

        int SessionPresent(string id)
        {
            using var device = new RawDevice(_broker.BoundEndpoint!);
            device.Send(0x10, [0, 4, .. "MQTT"u8, 4, 0, 0, 60, 0, (byte)id.Length, .. Encoding.ASCII.GetBytes(id)]);
            Assert.Equal(0x20, device.Receive(out byte[] body));
            return body[0];
        }
    }

    private static void AssertWorks(RawDevice device)
    {
        device.Publish(0x32, "s/kitchen/t", 7, "fine");
        Assert.Equal(0x40, device.Receive(out byte[] body));
        Assert.Equal([0, 7], body[..2]);
    }

    private bool TryConnect()
    {
        using var device = new RawDevice(_broker.BoundEndpoint!);
        try
        {
            device.Send(0x10, [0, 4, .. "MQTT"u8, 4, 2, 0, 60, 0, 1, (byte)'x']);
            return device.Receive(out _) == 0x20;
        }
        catch (IOException)
        {
            return false;
        }
    }

    private Task LoggedAsync(string who, string what) => Condition.WaitAsync(
        () => $"the log says '{who} … {what}'; it says\n{string.Join('\n', _log.All)}",
        () => Task.FromResult(_log.All.Any(line => line.Contains(who, StringComparison.Ordinal) && line.Contains(what, StringComparison.Ordinal))));
}
