using System.Buffers;
using System.Text;
using EdgeStream.Devices.Mqtt.Broker;
using Microsoft.Extensions.Time.Testing;
using MQTTnet;
using MQTTnet.Packets;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Tests.Mqtt;

/// <summary>What subscribers are sent, without a network.</summary>
public sealed class SubscribersTests
{
    private const int Budget = 1024 * 1024;

    private readonly SourceCounters _counters = new();
    private readonly LogLines<SubscribersTests> _log = new();
    private readonly RetainedMessages _retained = new(() => { });
    private readonly Subscribers _subscribers;

    public SubscribersTests() => _subscribers = new Subscribers("broker", Budget, _retained, _counters, new FakeTimeProvider(), _log);

    [Fact]
    public void Message_that_no_packet_can_carry_is_discarded_and_the_next_one_is_sent()
    {
        var connection = new Connection();
        Subscriber subscriber = Open("display", connection);
        Subscribe(subscriber, "s/#");
        Publish("s/a", "1", new string('\uFFFD', 30_000));
        Publish("s/a", "2");

        Assert.Equal("2", TextOf(_subscribers.Next(subscriber, connection)));
        Assert.Null(_subscribers.Next(subscriber, connection));
        Assert.Equal(1, _counters.DroppedFor(DropReason.Refused));
        Assert.Contains(_log.All, line => line.Contains("'s/a' is not sent to the subscriber 'display'", StringComparison.Ordinal));

        // Nor does it come at the next connection.
        var again = new Connection();
        Assert.Same(subscriber, Open("display", again));
        Assert.Equal("2", TextOf(_subscribers.Next(subscriber, again)));
    }

    [Theory]
    [InlineData(100, 0)]
    [InlineData(20_000, 0)]
    [InlineData(100, 300)]
    public void Packet_that_is_larger_than_the_subscriber_takes_is_discarded_and_one_that_is_not_is_sent(int size, uint identifier)
    {
        var message = new MqttApplicationMessage
        {
            Topic = "s/°",
            Payload = new ReadOnlySequence<byte>(new byte[size]),
            QualityOfServiceLevel = MqttQualityOfServiceLevel.AtLeastOnce,
            ContentType = "text/plain",
            ResponseTopic = "r",
            CorrelationData = [1, 2, 3],
            MessageExpiryInterval = 60,
            PayloadFormatIndicator = MqttPayloadFormatIndicator.CharacterData,
            UserProperties = [new MqttUserProperty("unit", "°C"u8.ToArray())],
        };
        var roomy = new Connection();
        Subscriber any = Open("any", roomy);
        Subscribe(any, "s/#", identifier);
        _subscribers.Publish(message, "device");
        var writer = new MQTTnet.Formatter.MqttBufferWriter(4096, 65_535);
        uint exact = (uint)new MQTTnet.Formatter.V5.MqttV5PacketFormatter(writer).Encode(_subscribers.Next(any, roomy)!).Length;

        foreach ((uint limit, bool isSent) in new[] { (exact, true), (exact - 1, false) })
        {
            var connection = new Connection();
            Subscriber subscriber = Open($"{limit}", connection, limit);
            Subscribe(subscriber, "s/#", identifier);
            _subscribers.Publish(message, "device");
            Assert.Equal(isSent, _subscribers.Next(subscriber, connection) is MqttPublishPacket);
        }

        Assert.Equal(1, _counters.DroppedFor(DropReason.Refused));
    }

    [Fact]
    public void Connection_whose_session_is_removed_is_ended_and_subscribes_to_nothing()
    {
        var connection = new Connection();
        Subscriber subscriber = Open("display", connection);
        _subscribers.Remove("display");

        Assert.Single(connection.Aborts);
        Assert.Equal([MqttSubscribeReasonCode.UnspecifiedError], Subscribe(subscriber, "s/#"));
        Publish("s/a", "1");
        Assert.Equal(0, _subscribers.WaitingBytes);
        Assert.Null(_subscribers.Next(subscriber, connection));
    }

    [Fact]
    public void Connection_that_another_one_replaces_is_left_to_its_end()
    {
        var old = new Connection();
        Subscriber subscriber = Open("display", old);
        var current = new Connection();
        Subscriber again = _subscribers.Open("display", isPresent: false, current, 0, 0);

        Assert.NotSame(subscriber, again);
        Assert.Empty(old.Aborts);
        Assert.Equal([MqttSubscribeReasonCode.GrantedQoS1], Subscribe(again, "s/#"));
        Assert.False(_subscribers.Close(subscriber, old));
        Assert.True(_subscribers.Close(again, current));
    }

    [Fact]
    public void Nothing_is_sent_at_a_connection_for_the_beginning_of_the_one_before()
    {
        var old = new Connection();
        Subscriber subscriber = Open("display", old);
        var current = new Connection();
        Open("display", current);

        _subscribers.Begin(subscriber, old);
        Assert.Equal((0, 0), (old.Sends, current.Sends));
        _subscribers.Begin(subscriber, current);
        Assert.Equal((0, 1), (old.Sends, current.Sends));
    }

    [Fact]
    public void What_is_kept_takes_no_room_from_what_waits_until_it_is_replaced()
    {
        const int Messages = 40, Size = 100_000;
        Subscriber absent = Open("absent", new Connection());
        Subscribe(absent, "precious");
        Publish("precious", "1");
        for (int i = 0; i < Messages; i++)
            Keep($"s/{i}", Size);

        // Four times what may wait.
        var connection = new Connection();
        Subscriber display = Open("display", connection);
        Subscribe(display, "s/#");
        Assert.InRange(_subscribers.WaitingBytes, 1, Size);
        Assert.Equal(0, _counters.DroppedFor(DropReason.SlowSubscriber));

        // What is replaced is held by those alone who wait for it.
        Keep("s/0", Size + 1);
        Assert.InRange(_subscribers.WaitingBytes, Size, 2 * Size);
        for (int i = 0; i < Messages; i++)
            Keep($"s/{i}", Size + 2);

        Assert.InRange(_subscribers.WaitingBytes, 0, Budget);
        Assert.NotEqual(0, _counters.DroppedFor(DropReason.SlowSubscriber));
        _subscribers.Remove("display");
        _subscribers.Remove("absent");
        Assert.Equal(0, _subscribers.WaitingBytes);

        void Keep(string topic, int size) => _subscribers.Publish(
            new MqttApplicationMessage
            {
                Topic = topic,
                Payload = new ReadOnlySequence<byte>(new byte[size]),
                Retain = true,
                QualityOfServiceLevel = MqttQualityOfServiceLevel.AtLeastOnce,
            },
            "device");
    }

    private static string? TextOf(MqttPacket? packet) => (packet as MqttPublishPacket)?.Payload is { } payload
        ? Encoding.UTF8.GetString(payload) : null;

    private Subscriber Open(string id, Connection connection, uint maximumPacketSize = 0) =>
        _subscribers.Open(id, isPresent: true, connection, receiveMaximum: 0, maximumPacketSize);

    private List<MqttSubscribeReasonCode> Subscribe(Subscriber subscriber, string filter, uint identifier = 0) => _subscribers.Subscribe(
        subscriber,
        new MqttSubscribePacket
        {
            SubscriptionIdentifier = identifier,
            TopicFilters = [new MqttTopicFilter { Topic = filter, QualityOfServiceLevel = MqttQualityOfServiceLevel.AtLeastOnce }],
        });

    private void Publish(string topic, string payload, string? propertyName = null) => _subscribers.Publish(
        new MqttApplicationMessage
        {
            Topic = topic,
            Payload = new ReadOnlySequence<byte>(Encoding.UTF8.GetBytes(payload)),
            QualityOfServiceLevel = MqttQualityOfServiceLevel.AtLeastOnce,
            UserProperties = propertyName is null ? null : [new MqttUserProperty(propertyName, "x"u8.ToArray())],
        },
        "device");

    private sealed class Connection : ISubscriberConnection
    {
        public List<string?> Aborts { get; } = [];

        public int Sends { get; private set; }

        public void Send() => Sends++;

        public void Abort(string? reason) => Aborts.Add(reason);
    }
}
