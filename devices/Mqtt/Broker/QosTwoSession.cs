using System.Collections;

namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>
/// The QoS 2 messages of one session that are stored and not released yet ([MQTT-4.3.3]): a device that sends one again, because it
/// has not heard PUBREC, must not have it stored twice. Lives as long as the session, in memory.
/// </summary>
internal sealed class QosTwoSession
{
    private const string Key = "edgestream.qos2";

    private readonly Lock _lock = new();
    private readonly Dictionary<ushort, Task<StoreOutcome>> _unreleased = [];
    private ushort? _arriving;

    /// <summary>That of a session, by what MQTTnet keeps with it.</summary>
    public static QosTwoSession Of(IDictionary sessionItems)
    {
        lock (sessionItems)
        {
            if (sessionItems[Key] is not QosTwoSession session)
                sessionItems[Key] = session = new QosTwoSession();

            return session;
        }
    }

    /// <summary>A message was read from the connection; the call of <see cref="StoreOnceAsync"/> that follows is about it.</summary>
    public void Arrives(ushort packetId)
    {
        lock (_lock)
            _arriving = packetId;
    }

    /// <summary>PUBREL: the device will not send it again, and may use its number for another.</summary>
    public void Release(ushort packetId)
    {
        lock (_lock)
            _unreleased.Remove(packetId);
    }

    /// <summary>Stores the message that has arrived, unless it is stored already, or about to be for a connection before this one.</summary>
    /// <returns>Whether it is new, and what became of it.</returns>
    public async Task<(bool IsNew, StoreOutcome Outcome)> StoreOnceAsync(Func<Task<StoreOutcome>> store)
    {
        Task<StoreOutcome> storing;
        bool isNew;
        ushort? id;
        lock (_lock)
        {
            (id, _arriving) = (_arriving, null);
            isNew = id is null || !_unreleased.TryGetValue(id.Value, out Task<StoreOutcome>? known) || (known is { IsCompleted: true } && !known.Result.IsSettled);
            storing = isNew ? store() : _unreleased[id!.Value];
            if (id is not null)
                _unreleased[id.Value] = storing;
        }

        return (isNew, await storing.ConfigureAwait(false));
    }
}
