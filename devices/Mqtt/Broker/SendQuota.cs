using MQTTnet.Packets;

namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>
/// How many messages a device may be sent that it has not acknowledged: its receive maximum ([MQTT-3.3.4-9], section 4.9 of MQTT 5).
/// What is beyond it waits here, in order. Safe from any thread.
/// </summary>
/// <param name="maxWaiting">How many wait; of more, the oldest go, as they do in the session's own queue.</param>
internal sealed class SendQuota(int maxWaiting)
{
    private readonly Lock _lock = new();
    private readonly Queue<MqttPublishPacket> _waiting = new();
    private int _most = ushort.MaxValue;
    private int _unacknowledged;

    /// <summary>What the device has said; 0 for nothing.</summary>
    public void Limit(int receiveMaximum)
    {
        lock (_lock)
            _most = receiveMaximum > 0 ? receiveMaximum : ushort.MaxValue;
    }

    /// <summary>Takes a message; <see cref="TryTake"/> gives it back when it may be sent.</summary>
    public void Add(MqttPublishPacket message)
    {
        lock (_lock)
        {
            if (_waiting.Count == maxWaiting)
                _waiting.Dequeue();

            _waiting.Enqueue(message);
        }
    }

    /// <summary>The next message to send; null where there is none, or none may be sent now.</summary>
    public MqttPublishPacket? TryTake()
    {
        lock (_lock)
        {
            if (_unacknowledged >= _most || !_waiting.TryDequeue(out MqttPublishPacket? next))
                return null;

            _unacknowledged++;
            return next;
        }
    }

    /// <summary>The device has acknowledged one.</summary>
    /// <returns>Whether another waits.</returns>
    public bool Return()
    {
        lock (_lock)
        {
            _unacknowledged = Math.Max(0, _unacknowledged - 1);
            return _waiting.Count > 0;
        }
    }
}
