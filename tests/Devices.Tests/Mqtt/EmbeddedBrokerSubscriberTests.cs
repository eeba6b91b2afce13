using System.Globalization;
using System.Net;
using System.Text;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Harness;
using Microsoft.Extensions.Time.Testing;

namespace EdgeStream.Devices.Tests.Mqtt;

/// <summary>What waits for subscribers, and what bounds it, with Mosquitto's clients and by hand.</summary>
public sealed class EmbeddedBrokerSubscriberTests : IAsyncLifetime
{
    private const int Budget = 1024 * 1024;

    private readonly FakeTimeProvider _time = new();
    private readonly LogLines<EmbeddedBroker> _log = new();
    private readonly TemporaryDirectory _directory = new();
    private readonly EmbeddedBroker _broker;
    private RunningSource? _run;

    public EmbeddedBrokerSubscriberTests() => _broker = new EmbeddedBroker(
        new EmbeddedBrokerOptions
        {
            Listen = new IPEndPoint(IPAddress.Loopback, 0),
            Rules = [new MqttTopicRule("stored/#", "readings")],
            MaxPayloadBytes = 256 * 1024,
            MaxWaitingBytes = Budget,
        },
        new RecordingSink(),
        _time,
        _log);

    private int Port => _broker.BoundEndpoint!.Port;

    private long Dropped => _broker.Counters.DroppedFor(DropReason.SlowSubscriber);

    public async ValueTask InitializeAsync() => _run = await RunningSource.StartAsync(_broker);

    public async ValueTask DisposeAsync()
    {
        await _run!.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task What_waits_for_those_who_are_away_is_bounded_in_bytes_for_all_of_them_and_the_oldest_goes_first()
    {
        const int Messages = 40, Size = 100_000;
        await SubscribeAndLeaveAsync("first", "big/#");
        await SubscribeAndLeaveAsync("second", "big/#");
        for (int i = 0; i < Messages; i++)
            await PublishAsync("-q", "1", "-t", $"big/{i}", "-f", FileOf(Size));

        // They share a payload, so that ten of them fit for both.
        Assert.InRange(_broker.WaitingBytes, 9 * Size, Budget);
        Assert.Equal(2 * (Messages - 10), Dropped);
        Assert.All(["first", "second"], who => Assert.Contains(_log.All, line => line.Contains($"'{who}' is away", StringComparison.Ordinal)));

        using ChildProcess again = await SubscribeAsync("first", "big/#", "-F", "got %t");
        await again.WaitForLineAsync($"^got big/{Messages - 1}$");
        Assert.Equal(Enumerable.Range(Messages - 10, 10).Select(i => $"big/{i}"), Got(again));
    }

    [Fact]
    public async Task Subscriber_that_does_not_read_takes_no_more_than_the_budget_and_holds_nobody_up()
    {
        using RawDevice stuck = RawDevice.Connected(_broker.BoundEndpoint!, "stuck");
        stuck.Send(0x82, [0, 1, 0, 5, .. "big/#"u8, 0]);
        Assert.Equal(0x90, stuck.Receive(out _));

        string file = FileOf(200_000);
        for (int i = 0; Dropped == 0; i++)
        {
            Assert.InRange(i, 0, 500);
            await PublishAsync("-q", "1", "-t", "big/x", "-f", file);
            Assert.InRange(_broker.WaitingBytes, 0, Budget);
        }
    }

    [Fact]
    public async Task Subscriber_that_does_not_read_makes_nobody_wait_where_it_connects_again_and_at_the_stop()
    {
        // MQTTnet would wait 10 s for each.
        TimeSpan patience = TimeSpan.FromSeconds(5);
        List<RawDevice> stuck = [];
        try
        {
            foreach (string id in (string[])["first", "second", "third"])
                stuck.Add(Stuck(id));

            string file = FileOf(200_000);
            for (int i = 0; Dropped == 0; i++)
            {
                Assert.InRange(i, 0, 500);
                await PublishAsync("-q", "0", "-t", "big/x", "-f", file);
            }

            long begin = TimeProvider.System.GetTimestamp();
            using (RawDevice again = RawDevice.Connected(_broker.BoundEndpoint!, "first", 5))
            using (RawDevice other = RawDevice.Connected(_broker.BoundEndpoint!, "other", 5))
                Assert.InRange(TimeProvider.System.GetElapsedTime(begin), TimeSpan.Zero, patience);

            begin = TimeProvider.System.GetTimestamp();
            await _run!.StopAsync();
            Assert.InRange(TimeProvider.System.GetElapsedTime(begin), TimeSpan.Zero, patience);
        }
        finally
        {
            stuck.ForEach(device => device.Dispose());
        }

        RawDevice Stuck(string id)
        {
            RawDevice device = RawDevice.Connected(_broker.BoundEndpoint!, id, 5);
            device.Send(0x82, [0, 1, 0, 0, 5, .. "big/#"u8, 0]);
            Assert.Equal(0x90, device.Receive(out _));
            return device;
        }
    }

    [Fact]
    public async Task Messages_beyond_those_that_may_wait_are_counted_and_told()
    {
        const int Messages = 400, MayWait = 250;
        await SubscribeAndLeaveAsync("display", "s/#");
        string lines = Path.Combine(_directory.Path, "lines");
        await File.WriteAllLinesAsync(lines, Enumerable.Range(0, Messages).Select(i => i.ToString(CultureInfo.InvariantCulture)));
        using ChildProcess publisher = ChildProcess.Start(
            "mosquitto_pub", "/bin/sh", ["-c", $"mosquitto_pub -p {Port} -q 1 -t s/a -l < {lines}"]);
        await Condition.WaitAsync("all are published", () => publisher.HasExited);

        Assert.Equal(Messages - MayWait, Dropped);
        Assert.Single(_log.All, line => line.Contains("'display' is away", StringComparison.Ordinal));

        using ChildProcess again = await SubscribeAsync("display", "s/#", "-F", "got %p");
        await again.WaitForLineAsync($"^got {Messages - 1}$");
        Assert.Equal(Enumerable.Range(MayWait - 100, MayWait).Select(i => $"{i}"), Got(again));
        Assert.Contains(_log.All, line => line.Contains($"{Messages - MayWait} so far", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(4, 0x80)]
    [InlineData(5, 0x97)]
    public void Subscriptions_beyond_those_that_a_session_may_have_are_refused(byte version, byte refusal)
    {
        const int MayHave = 1000;
        using RawDevice device = RawDevice.Connected(_broker.BoundEndpoint!, "greedy", version);
        byte[] noProperties = version == 5 ? [0] : [];
        for (int i = 0; i <= MayHave; i++)
            Assert.Equal(i < MayHave ? 1 : refusal, Subscribe($"f/{i:0000}"));

        // What it has it may ask for again; and after it has given something back, for something else.
        Assert.Equal(1, Subscribe("f/0007"));
        device.Send(0xA2, [0, 9, .. noProperties, 0, 6, .. "f/0007"u8]);
        Assert.Equal(0xB0, device.Receive(out _));
        Assert.Equal(1, Subscribe("g/0000"));

        int Subscribe(string filter)
        {
            device.Send(0x82, [0, 1, .. noProperties, 0, (byte)filter.Length, .. Encoding.ASCII.GetBytes(filter), 1]);
            Assert.Equal(0x90, device.Receive(out byte[] body));
            return body[^1];
        }
    }

    [Fact]
    public void Filter_of_very_many_levels_is_refused()
    {
        using RawDevice device = RawDevice.Connected(_broker.BoundEndpoint!, "deep", 5);
        byte[] filter = [.. Enumerable.Repeat((byte)'/', 1000)];
        device.SendBytes([0x82, 0xEE, 0x07, 0, 1, 0, 0x03, 0xE8, .. filter, 0]);
        Assert.Equal((0x90, 0x97), (device.Receive(out byte[] body), body[^1]));
    }

    [Fact]
    public async Task Message_waits_no_longer_than_its_expiry_interval_and_is_delivered_with_what_is_left_of_it()
    {
        await SubscribeAndLeaveAsync("display", "s/#");
        await PublishExpiringAsync("s/long", 100);
        await PublishExpiringAsync("s/short", 30);
        _time.Advance(TimeSpan.FromSeconds(40));
        await PublishAsync("-q", "1", "-t", "s/last", "-m", "x");

        using ChildProcess again = await SubscribeAsync("display", "s/#", "-F", "got %t %E");
        await again.WaitForLineAsync("^got s/last");
        Assert.Equal(["s/long 60", "s/last"], Got(again).Select(line => line.TrimEnd()));
        Assert.Equal(0, Dropped);
    }

    [Fact]
    public async Task Retained_message_is_kept_no_longer_than_its_expiry_interval()
    {
        await PublishExpiringAsync("s/long", 100, "-r");
        await PublishExpiringAsync("s/short", 30, "-r");
        await PublishAsync("-q", "1", "-r", "-t", "s/ever", "-m", "x");
        _time.Advance(TimeSpan.FromSeconds(40));

        using ChildProcess listener = await SubscribeAsync("late", "s/#", "-F", "got %t %E %r");
        await Condition.WaitAsync("two came", () => Got(listener).Length == 2);
        await PublishAsync("-q", "1", "-t", "s/now", "-m", "x");
        await listener.WaitForLineAsync("^got s/now");
        Assert.Equal(["s/ever  1", "s/long 60 1", "s/now  0"], Got(listener).Order());
    }

    [Fact]
    public async Task Will_waits_for_its_delay_and_is_void_where_its_device_comes_back_before()
    {
        using ChildProcess listener = await SubscribeAsync("watch", "will/#", "-F", "got %p");
        Lose("once");
        await Condition.WaitAsync("the broker has seen it", () => _broker.PendingWills == 1);
        _time.Advance(TimeSpan.FromSeconds(5));
        using (RawDevice back = Connect("twice"))
            Assert.Equal(0, _broker.PendingWills);

        await Condition.WaitAsync("the broker has seen it", () => _broker.PendingWills == 1);
        _time.Advance(TimeSpan.FromSeconds(9));
        Assert.Equal(1, _broker.PendingWills);
        _time.Advance(TimeSpan.FromSeconds(1));
        await listener.WaitForLineAsync("^got twice$");
        Assert.Equal(["twice"], Got(listener));

        void Lose(string will) => Connect(will).Dispose();

        // MQTT 5, session expiry 60 s, will delay 10 s.
        RawDevice Connect(string will)
        {
            var device = new RawDevice(_broker.BoundEndpoint!);
            device.Send(0x10, [
                0, 4, .. "MQTT"u8, 5, 0b0000_0100, 0, 60, 5, 0x11, 0, 0, 0, 60, 0, 1, (byte)'d',
                5, 0x18, 0, 0, 0, 10, 0, 6, .. "will/d"u8, 0, (byte)will.Length, .. Encoding.ASCII.GetBytes(will)]);
            Assert.Equal(0x20, device.Receive(out _));
            return device;
        }
    }

    [Fact]
    public async Task Will_is_published_when_the_session_ends_before_its_delay()
    {
        using ChildProcess listener = await SubscribeAsync("watch", "will/#", "-F", "got %p");
        using (var device = new RawDevice(_broker.BoundEndpoint!))
        {
            // No session expiry: the session ends with the connection.
            device.Send(0x10, [
                0, 4, .. "MQTT"u8, 5, 0b0000_0100, 0, 60, 0, 0, 1, (byte)'d', 5, 0x18, 0, 0, 0, 10, 0, 6, .. "will/d"u8, 0, 4, .. "gone"u8]);
            Assert.Equal(0x20, device.Receive(out _));
        }

        await listener.WaitForLineAsync("^got gone$");
    }

    [Theory]
    [InlineData("311")]
    [InlineData("5")]
    public async Task Members_of_a_shared_subscription_get_messages_in_turn_and_others_get_all(string version)
    {
        const int Messages = 10;
        using ChildProcess first = await SubscribeAsync("first", "$share/pool/s/#", "-V", version, "-F", "got %p");
        using ChildProcess second = await SubscribeAsync("second", "$share/pool/s/#", "-V", version, "-F", "got %p");
        using ChildProcess all = await SubscribeAsync("all", "s/#", "-V", version, "-F", "got %p");
        for (int i = 0; i < Messages; i++)
            await PublishAsync("-q", "1", "-t", "s/a", "-m", $"{i}");

        await all.WaitForLineAsync($"^got {Messages - 1}$");
        await Condition.WaitAsync("all came", () => Got(first).Length + Got(second).Length == Messages);
        Assert.Equal((Messages / 2, Messages / 2, Messages), (Got(first).Length, Got(second).Length, Got(all).Length));
        Assert.Equal(Got(all), Got(first).Concat(Got(second)).Order());
    }

    [Fact]
    public void Message_of_QoS_2_that_was_not_acknowledged_comes_again_and_one_that_was_received_does_not()
    {
        using (RawDevice device = RawDevice.Connected(_broker.BoundEndpoint!, "reader"))
        {
            device.Send(0x82, [0, 1, 0, 3, .. "s/a"u8, 2]);
            Assert.Equal((0x90, 2), (device.Receive(out byte[] body), body[^1]));
            using RawDevice publisher = RawDevice.Connected(_broker.BoundEndpoint!, "pub");
            foreach (byte id in (byte[])[1, 2])
            {
                publisher.Publish(0x34, "s/a", id, $"{id}");
                Assert.Equal(0x50, publisher.Receive(out _));
                Assert.Equal((0x34, (byte)('0' + id)), (device.Receive(out body), body[^1]));
            }

            // It has the first one only; PUBREL says that the broker knows.
            device.Send(0x50, 0, 1);
            Assert.Equal(0x62, device.Receive(out _));
        }

        using RawDevice again = RawDevice.Connected(_broker.BoundEndpoint!, "reader");
        Assert.Equal((0x62, 1), (again.Receive(out byte[] release), release[1]));
        Assert.Equal((0x3C, (byte)'2'), (again.Receive(out byte[] second), second[^1]));
    }

    private static string[] Got(ChildProcess listener) => [.. listener.Output.Split('\n')
        .Where(line => line.StartsWith("got ", StringComparison.Ordinal)).Select(line => line[4..])];

    private Task<ChildProcess> SubscribeAsync(string id, string filter, params string[] more) =>
        MosquittoClient.SubscribeAsync(Port, ["-V", "5", "-i", id, "-c", "-x", "3600", "-q", "1", "-t", filter, .. more]);

    private async Task SubscribeAndLeaveAsync(string id, string filter)
    {
        using ChildProcess subscriber = await SubscribeAsync(id, filter);
        await subscriber.StopAsync();
    }

    private async Task PublishAsync(params string[] arguments) => Assert.Equal((0, ""), await MosquittoClient.PublishAsync(Port, arguments));

    private Task PublishExpiringAsync(string topic, int seconds, params string[] more) => PublishAsync(
        ["-V", "5", "-q", "1", "-t", topic, "-m", "x", "-D", "publish", "message-expiry-interval", $"{seconds}", .. more]);

    private string FileOf(int size)
    {
        string path = Path.Combine(_directory.Path, $"{size}");
        if (!File.Exists(path))
            File.WriteAllBytes(path, new byte[size]);

        return path;
    }
}
