using System.Buffers;
using EdgeStream.Devices.Mqtt.Broker;
using MQTTnet;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Tests.Mqtt;

public sealed class BacklogTests
{
    private readonly List<Delivery> _dropped = [];
    private readonly List<string> _stalled = [];
    private readonly Backlog _backlog;
    private long _sequence;

    public BacklogTests() => _backlog = new Backlog(10_000, (delivery, _) => _dropped.Add(delivery), stalled => _stalled.Add(stalled.ClientId));

    [Fact]
    public void Message_for_several_is_counted_once_and_given_back_with_the_last_of_them()
    {
        RoutedMessage message = Message(4000);
        Delivery[] deliveries = [Hold("a", message), Hold("b", message)];
        Assert.InRange(_backlog.Bytes, 4000, 6000);

        _backlog.Release(deliveries[0]);
        _backlog.Release(deliveries[0]);
        Assert.InRange(_backlog.Bytes, 4000, 5000);
        _backlog.Release(deliveries[1]);
        Assert.Equal(0, _backlog.Bytes);
    }

    [Fact]
    public void What_is_being_written_goes_last_and_takes_its_connection_with_it()
    {
        Delivery written = Hold("stuck", Message(4000));
        written.IsWriting = true;
        Delivery waiting = Hold("other", Message(4000));

        Delivery next = Hold("other", Message(4000));
        Assert.Equal([waiting], _dropped);
        Assert.Empty(_stalled);

        // Two are being written, and a third begins: all that there is.
        next.IsWriting = true;
        RoutedMessage shared = Message(100);
        Delivery third = Hold("third", shared);
        third.IsWriting = true;
        Assert.Empty(_stalled);
        for (int i = 0; _stalled.Count == 0; i++)
        {
            Assert.InRange(i, 0, 10);
            Hold($"reader {i}", shared).IsWriting = true;
        }

        Assert.Equal(["stuck"], _stalled);
        Assert.Same(written, _dropped[^1]);
        Assert.InRange(_backlog.Bytes, 0, 10_000);
    }

    private static RoutedMessage Message(int size) =>
        new(new MqttApplicationMessage { Topic = "t", Payload = new ReadOnlySequence<byte>(new byte[size]) }, TimeSpan.Zero);

    private Delivery Hold(string to, RoutedMessage message)
    {
        var delivery = new Delivery(new Subscriber(to), message, MqttQualityOfServiceLevel.AtLeastOnce) { Sequence = ++_sequence };
        _backlog.Hold(delivery);
        return delivery;
    }
}
