using MQTTnet.Protocol;

namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>A subscriber's connection, as long as there is one.</summary>
internal interface ISubscriberConnection
{
    /// <summary>Begins to send what <see cref="Subscribers.Next"/> gives, until there is nothing. Returns at once.</summary>
    void Send();

    /// <summary>Ends the connection. Returns at once.</summary>
    /// <param name="reason">Why, in one line; null where it is at its end, or need not be told.</param>
    void Abort(string? reason);
}

/// <summary>What a session has asked for under one filter.</summary>
internal sealed record Subscription(Subscriber Subscriber, string Filter, string Matched)
{
    public required MqttQualityOfServiceLevel Quality { get; init; }

    public bool NoLocal { get; init; }

    public bool RetainAsPublished { get; init; }

    public uint Identifier { get; init; }

    /// <summary>Those among whom messages are shared out; null where the subscriber gets all.</summary>
    public SharedGroup? Group { get; init; }

    public bool Equals(Subscription? other) => ReferenceEquals(this, other);

    public override int GetHashCode() => Filter.GetHashCode(StringComparison.Ordinal);
}

/// <summary>The members of a shared subscription. Each message goes to one of them, in turn.</summary>
internal sealed class SharedGroup
{
    private int _next;

    public List<Subscription> Members { get; } = [];

    /// <summary>Whose turn it is: of those who are connected, where there is one.</summary>
    public Subscription Next()
    {
        for (int i = 0; i < Members.Count; i++)
        {
            Subscription member = Members[(_next + i) % Members.Count];
            if (member.Subscriber.Connection is null)
                continue;

            _next = (_next + i + 1) % Members.Count;
            return member;
        }

        _next = (_next + 1) % Members.Count;
        return Members[_next];
    }
}

/// <summary>A session's subscriptions, and what is on its way to it. Belongs to <see cref="Subscribers"/>, and is guarded by its lock.</summary>
internal sealed class Subscriber(string clientId)
{
    private ushort _lastPacketId;

    public string ClientId => clientId;

    public Dictionary<string, Subscription> Subscriptions { get; } = new(StringComparer.Ordinal);

    /// <summary>What is to be sent, in order.</summary>
    public LinkedList<Delivery> Waiting { get; } = [];

    /// <summary>How many of these were never sent, and were not kept from before the subscription.</summary>
    public int NewWaiting { get; set; }

    /// <summary>What was sent and not acknowledged, also before the connection that is now.</summary>
    public SortedList<long, Delivery> Unacknowledged { get; } = [];

    /// <summary>Null while it is away.</summary>
    public ISubscriberConnection? Connection { get; set; }

    /// <summary>Its session is removed: nothing comes to it any more.</summary>
    public bool IsForgotten { get; set; }

    public bool IsSending { get; set; }

    /// <summary>What the connection is writing.</summary>
    public Delivery? Writing { get; set; }

    /// <summary>How many are on their way at this connection, and how many may be.</summary>
    public int Outstanding { get; set; }

    /// <inheritdoc cref="Outstanding"/>
    public int Window { get; set; }

    /// <summary>The largest packet that it takes.</summary>
    public long MaxPacketBytes { get; set; }

    /// <summary>How many were dropped, and how many of these nobody was told of yet.</summary>
    public long Dropped { get; set; }

    /// <inheritdoc cref="Dropped"/>
    public long DroppedUntold { get; set; }

    /// <summary>When it was told last that some were dropped.</summary>
    public TimeSpan? Told { get; set; }

    public ushort NextPacketId()
    {
        do
        {
            if (++_lastPacketId == 0)
                _lastPacketId = 1;
        }
        while (Find(_lastPacketId) is not null);

        return _lastPacketId;
    }

    public Delivery? Find(ushort packetId)
    {
        foreach (Delivery delivery in Unacknowledged.Values)
        {
            if (delivery.PacketId == packetId)
                return delivery;
        }

        return null;
    }
}
