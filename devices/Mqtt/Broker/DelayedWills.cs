using System.Buffers;
using MQTTnet;
using MQTTnet.Packets;

namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>What a device wants published when it is lost, and how many seconds after that.</summary>
internal sealed record Will(MqttApplicationMessage Message, uint Delay)
{
    public static Will Of(MqttConnectPacket connect) => new(
        new MqttApplicationMessage
        {
            Topic = connect.WillTopic,
            Payload = new ReadOnlySequence<byte>(connect.WillMessage ?? []),
            QualityOfServiceLevel = connect.WillQoS,
            Retain = connect.WillRetain,
            ContentType = connect.WillContentType,
            CorrelationData = connect.WillCorrelationData,
            MessageExpiryInterval = connect.WillMessageExpiryInterval,
            PayloadFormatIndicator = connect.WillPayloadFormatIndicator,
            ResponseTopic = connect.WillResponseTopic,
            UserProperties = connect.WillUserProperties,
        },
        connect.WillDelayInterval);
}

/// <summary>
/// The wills of devices that are lost, until their delay is over or their session ends, whichever is first ([MQTT-3.1.3-9]); by a
/// monotonic clock. Safe from any thread.
/// </summary>
/// <param name="publish">Publishes the will of a client id; never fails.</param>
/// <param name="time">The clock.</param>
internal sealed class DelayedWills(Func<string, MqttApplicationMessage, Task> publish, TimeProvider time) : IDisposable
{
    // Beyond it a will is not kept back: devices may leave as many as there are sessions.
    private const long MaxBytes = 1024 * 1024;

    // What a timer takes.
    private static readonly TimeSpan MaxDelay = TimeSpan.FromDays(40);

    private readonly Lock _lock = new();
    private readonly Dictionary<string, Pending> _pending = new(StringComparer.Ordinal);
    private long _bytes;

    private sealed record Pending(MqttApplicationMessage Message) : IDisposable
    {
        public ITimer? Timer { get; set; }

        public long Bytes { get; } = RoutedMessage.BytesOf(Message);

        public void Dispose() => Timer?.Dispose();
    }

    public int Count
    {
        get
        {
            lock (_lock)
                return _pending.Count;
        }
    }

    /// <summary>A device is lost.</summary>
    public void Add(string clientId, MqttApplicationMessage will, TimeSpan delay)
    {
        var pending = new Pending(will);
        lock (_lock)
        {
            if (delay > TimeSpan.Zero && _bytes + pending.Bytes <= MaxBytes && _pending.TryAdd(clientId, pending))
            {
                _bytes += pending.Bytes;
                pending.Timer = time.CreateTimer(
                    _ => Publish(clientId, pending), null, delay < MaxDelay ? delay : MaxDelay, Timeout.InfiniteTimeSpan);
                return;
            }
        }

        _ = publish(clientId, will);
    }

    /// <summary>A device has come back: to its session, and its will is void, or to a new one, and its will is due. Or its session has ended.</summary>
    public void Return(string clientId, bool isSessionPresent)
    {
        Pending? pending;
        lock (_lock)
            pending = _pending.GetValueOrDefault(clientId);

        if (pending is null)
            return;

        if (!isSessionPresent)
            Publish(clientId, pending);
        else
            TryTake(clientId, pending);
    }

    public void Dispose()
    {
        lock (_lock)
        {
            foreach (Pending pending in _pending.Values)
                pending.Dispose();

            _pending.Clear();
        }
    }

    private void Publish(string clientId, Pending pending)
    {
        if (TryTake(clientId, pending))
            _ = publish(clientId, pending.Message);
    }

    private bool TryTake(string clientId, Pending pending)
    {
        lock (_lock)
        {
            if (_pending.GetValueOrDefault(clientId) != pending)
                return false;

            _pending.Remove(clientId);
            _bytes -= pending.Bytes;
        }

        pending.Dispose();
        return true;
    }
}
