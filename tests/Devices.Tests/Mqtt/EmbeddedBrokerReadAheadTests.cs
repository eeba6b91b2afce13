using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Text;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Devices.Mqtt.Broker;
using EdgeStream.Harness;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Devices.Tests.Mqtt;

/// <summary>Devices that send on without waiting for their acknowledgements.</summary>
public sealed class EmbeddedBrokerReadAheadTests : IAsyncLifetime
{
    private const byte QosZero = 0x30, QosOne = 0x32, QosTwo = 0x34, Acknowledged = 0x40, Received = 0x50, Disconnect = 0xE0;

    private readonly RecordingSink _sink = new();
    private readonly EmbeddedBroker _broker;
    private RunningSource? _run;

    public EmbeddedBrokerReadAheadTests() => _broker = new EmbeddedBroker(
        new EmbeddedBrokerOptions { Listen = new IPEndPoint(IPAddress.Loopback, 0), Rules = [new MqttTopicRule("s/+/t", "readings", "{1}")] },
        _sink,
        TimeProvider.System,
        NullLogger<EmbeddedBroker>.Instance);

    public async ValueTask InitializeAsync() => _run = await RunningSource.StartAsync(_broker);

    public ValueTask DisposeAsync() => _run!.DisposeAsync();

    [Fact]
    public async Task Messages_share_a_sync_and_are_acknowledged_in_order_once_they_are_durable()
    {
        using RawDevice device = RawDevice.Connected(_broker.BoundEndpoint!, "device");
        _sink.Close();
        for (ushort i = 1; i <= 20; i++)
            device.Publish(QosOne, "s/a/t", i, Value(i));

        await Condition.WaitAsync("all are offered, and none is stored", () => _sink.Offered.Count == 20);
        Assert.False(device.HasAnswer);
        _sink.Open();

        for (ushort i = 1; i <= 20; i++)
            AssertAnswer(device, Acknowledged, i);

        Assert.Equal(Enumerable.Range(1, 20).Select(Value), _sink.StoredValues);
    }

    [Fact]
    public async Task Nothing_behind_a_message_that_cannot_be_stored_is_acknowledged()
    {
        using RawDevice device = RawDevice.Connected(_broker.BoundEndpoint!, "device");
        _sink.Fails = record => Encoding.UTF8.GetString(record.Value.Span) == Value(2);
        _sink.Close();
        for (ushort i = 1; i <= 4; i++)
            device.Publish(QosOne, "s/a/t", i, Value(i));

        await Condition.WaitAsync("all are offered", () => _sink.Offered.Count == 4);
        _sink.Open();

        AssertAnswer(device, Acknowledged, 1);
        Assert.Equal(-1, device.Receive(out _));
    }

    [Fact]
    public async Task Message_of_QoS_2_is_stored_between_those_around_it()
    {
        using RawDevice device = RawDevice.Connected(_broker.BoundEndpoint!, "device");
        _sink.Close();
        device.Publish(QosOne, "s/a/t", 1, Value(1));
        device.Publish(QosTwo, "s/a/t", 2, Value(2));
        device.Publish(QosOne, "s/a/t", 3, Value(3));

        await Condition.WaitAsync("the first is offered", () => _sink.Offered.Count == 1);
        _sink.Open();

        AssertAnswer(device, Acknowledged, 1);
        AssertAnswer(device, Received, 2);
        AssertAnswer(device, Acknowledged, 3);
        Assert.Equal([Value(1), Value(2), Value(3)], _sink.StoredValues);
    }

    [Fact]
    public async Task Message_that_is_refused_for_good_is_told_so_and_passed_on_to_nobody()
    {
        using ChildProcess listener = await MosquittoClient.SubscribeAsync(_broker.BoundEndpoint!.Port, "-t", "s/#", "-F", "got %p");
        using RawDevice device = RawDevice.Connected(_broker.BoundEndpoint!, "device", version: 5);
        _sink.Rejects = record => Encoding.UTF8.GetString(record.Value.Span) == Value(2);
        for (ushort i = 1; i <= 3; i++)
            device.Publish(QosOne, "s/a/t", i, Value(i), version: 5);

        AssertAnswer(device, Acknowledged, 1);
        byte[] refused = AssertAnswer(device, Acknowledged, 2);
        AssertAnswer(device, Acknowledged, 3);
        Assert.Equal(0x83, refused[2]);
        Assert.Contains("the test refuses it", Encoding.UTF8.GetString(refused), StringComparison.Ordinal);
        await listener.WaitForLineAsync($"^got {Value(3)}$");
        Assert.Equal([$"got {Value(1)}", $"got {Value(3)}"], listener.Output.Split('\n').Where(line => line.StartsWith("got", StringComparison.Ordinal)));
    }

    [Fact]
    public void Message_that_is_stored_and_that_nobody_subscribes_to_is_acknowledged_and_MQTT_5_is_told()
    {
        using RawDevice device = RawDevice.Connected(_broker.BoundEndpoint!, "device", version: 5);
        device.Publish(QosOne, "s/a/t", 1, Value(1), version: 5);

        Assert.Equal([0, 1, 0x10], AssertAnswer(device, Acknowledged, 1));
        Assert.Equal([Value(1)], _sink.StoredValues);
    }

    [Fact]
    public void Device_that_does_nothing_but_publish_is_not_taken_for_lost()
    {
        // Who is silent is looked for each 5 s.
        var twoLooks = TimeSpan.FromSeconds(11);
        using RawDevice device = RawDevice.Connected(_broker.BoundEndpoint!, "device", keepAlive: 1);
        var time = Stopwatch.StartNew();
        for (ushort id = 1; time.Elapsed < twoLooks; id = (ushort)(id == ushort.MaxValue ? 1 : id + 1))
        {
            device.Publish(QosOne, "no/rule", id, "x");
            AssertAnswer(device, Acknowledged, id);
        }
    }

    [Fact]
    public async Task What_a_device_says_before_it_goes_is_stored()
    {
        _sink.Close();
        using (RawDevice device = RawDevice.Connected(_broker.BoundEndpoint!, "device"))
        {
            for (ushort i = 1; i <= 10; i++)
                device.Send(QosZero, [0, 5, .. "s/a/t"u8, .. Encoding.ASCII.GetBytes(Value(i))]);

            device.Send(Disconnect);
            await Condition.WaitAsync("all are offered", () => _sink.Offered.Count == 10);
            _sink.Open();
            Assert.Equal(-1, device.Receive(out _));
        }

        await Condition.WaitAsync("all are stored", () => _sink.StoredValues.SequenceEqual(Enumerable.Range(1, 10).Select(Value)));
    }

    [Fact]
    public async Task Every_message_of_a_mix_is_answered_however_many_are_on_their_way()
    {
        const int Messages = 3000;
        int seed = Random.Shared.Next();
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}");
        var random = new Random(seed);
        using RawDevice device = RawDevice.Connected(_broker.BoundEndpoint!, "device");
        List<(byte Answer, ushort Id)> expected = [];
        int answered = 0;
        for (ushort id = 1; id <= Messages; id++)
        {
            byte header = random.Next(10) switch { 0 => QosTwo, < 3 => QosZero, _ => QosOne };
            if (header == QosZero)
                device.Send(header, [0, 5, .. "s/a/t"u8, .. Encoding.ASCII.GetBytes(Value(id))]);
            else
                device.Publish(header, random.Next(20) == 0 ? "no/rule" : "s/a/t", id, Value(id));

            if (header != QosZero)
                expected.Add((header == QosOne ? Acknowledged : Received, id));

            // Sometimes one, sometimes all, sometimes none of those that are on their way.
            for (int wanted = random.Next(expected.Count - answered + 1) * random.Next(2); wanted > 0; wanted--, answered++)
                AssertAnswer(device, expected[answered].Answer, expected[answered].Id);
        }

        for (; answered < expected.Count; answered++)
            AssertAnswer(device, expected[answered].Answer, expected[answered].Id);

        await Condition.WaitAsync("the last is offered", () => _sink.Offered.Count > 0);
        int[] stored = [.. _sink.StoredValues.Select(value => int.Parse(value, CultureInfo.InvariantCulture))];
        Assert.Equal(stored.Order(), stored);
    }

    [Fact]
    public void Topic_alias_stands_for_its_topic_on_its_connection()
    {
        using RawDevice device = RawDevice.Connected(_broker.BoundEndpoint!, "device", version: 5);
        device.Send(QosOne, [0, 5, .. "s/a/t"u8, 0, 1, 3, 0x23, 0, 32, .. "1"u8]);
        device.Send(QosOne, [0, 5, .. "s/b/t"u8, 0, 2, 3, 0x23, 0, 1, .. "2"u8]);
        device.Send(QosOne, [0, 0, 0, 3, 3, 0x23, 0, 32, .. "3"u8]);
        for (ushort i = 1; i <= 3; i++)
            AssertAnswer(device, Acknowledged, i);

        Assert.Equal(["a 1", "b 2", "a 3"], _sink.Stored.Select(record => $"{Text(record.Key!.Value)} {Text(record.Value)}"));
    }

    [Theory]
    [InlineData(33, "s/a/t", "33, and 32 are taken here")]
    [InlineData(5, "", "5, which stands for no topic yet")]
    public void Topic_alias_that_is_none_ends_the_connection(byte alias, string topic, string reason)
    {
        using RawDevice device = RawDevice.Connected(_broker.BoundEndpoint!, "device", version: 5);
        device.Send(QosOne, [0, (byte)topic.Length, .. Encoding.ASCII.GetBytes(topic), 0, 1, 3, 0x23, 0, alias, .. "1"u8]);

        Assert.Equal(Disconnect, device.Receive(out byte[] body));
        Assert.Contains($"a message has the topic alias {reason}", Encoding.UTF8.GetString(body), StringComparison.Ordinal);
        Assert.Empty(_sink.Offered);
    }

    [Fact]
    public async Task What_all_devices_send_ahead_together_is_bounded()
    {
        const int Devices = 20, PerDevice = 8;
        byte[] message = [QosOne, .. Length(7 + 2 + 100_000), 0, 5, .. "s/a/t"u8, 0, 1, .. new byte[100_000]];
        _sink.Close();
        List<RawDevice> devices = [.. Enumerable.Range(0, Devices).Select(i => RawDevice.Connected(_broker.BoundEndpoint!, $"device-{i}"))];
        Task[] sending = [.. devices.Select(device => Task.Run(() =>
        {
            for (int i = 0; i < PerDevice; i++)
                device.SendBytes(message);
        }))];

        // Of 160 messages, one of each device and 2 MiB more, where the last may go beyond it on each.
        int seen = -1;
        await Condition.WaitAsync("no more is taken", () =>
        {
            int last = seen;
            seen = _sink.Offered.Count;
            return seen >= Devices && seen == last;
        });
        Assert.InRange(seen, Devices + 1, Devices + 1 + (2 * 1024 * 1024 / 100_000) + Devices);

        _sink.Open();
        await Condition.WaitAsync("all are stored", () => _sink.Stored.Count == Devices * PerDevice);
        await Task.WhenAll(sending);
        devices.ForEach(device => device.Dispose());
    }

    private static string Value(int number) => number.ToString("000", CultureInfo.InvariantCulture);

    private static string Text(ReadOnlyMemory<byte> bytes) => Encoding.UTF8.GetString(bytes.Span);

    private static byte[] Length(int length) => [(byte)((length & 0x7F) | 0x80), (byte)(((length >> 7) & 0x7F) | 0x80), (byte)(length >> 14)];

    private static byte[] AssertAnswer(RawDevice device, byte header, ushort id)
    {
        Assert.Equal(header, device.Receive(out byte[] body));
        Assert.Equal(id, (body[0] << 8) | body[1]);
        return body;
    }
}
