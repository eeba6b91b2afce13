using MQTTnet.Packets;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>A message on its way to one subscriber.</summary>
internal sealed class Delivery(Subscriber to, RoutedMessage message, MqttQualityOfServiceLevel quality)
{
    public Subscriber To => to;

    /// <summary>Null where it has been let go: acknowledged, or dropped for want of room while its acknowledgement was due.</summary>
    public RoutedMessage? Message { get; set; } = message;

    public MqttQualityOfServiceLevel Quality => quality;

    /// <summary>The flag as the subscriber gets it.</summary>
    public bool Retain { get; init; }

    public List<uint>? Identifiers { get; init; }

    /// <summary>Kept from before the subscription. As many as there are may wait: they take no memory for their payloads.</summary>
    public bool IsRetained { get; init; }

    /// <summary>Its place among all deliveries, in the order of the messages.</summary>
    public required long Sequence { get; init; }

    /// <summary>0 as long as it was never sent, and for QoS 0.</summary>
    public ushort PacketId { get; set; }

    /// <summary>QoS 2: the subscriber has it, and is to be told that its number is free ([MQTT-4.3.3]).</summary>
    public bool IsReleased { get; set; }

    /// <summary>It was sent at a connection before this one.</summary>
    public bool IsAgain { get; set; }

    /// <summary>It is being written to the connection, which holds its payload.</summary>
    public bool IsWriting { get; set; }

    /// <summary>Its place among what waits for the subscriber; null where it does not wait.</summary>
    public LinkedListNode<Delivery>? Place { get; set; }

    /// <summary>Its place among all that is held. Belongs to <see cref="Backlog"/>.</summary>
    public LinkedListNode<Delivery>? Age { get; set; }

    public MqttPacket ToPacket(TimeSpan now)
    {
        if (IsReleased)
            return new MqttPubRelPacket { PacketIdentifier = PacketId };

        MqttPublishPacket packet = Message!.ToPacket(now);
        packet.QualityOfServiceLevel = quality;
        packet.Retain = Retain;
        packet.Dup = IsAgain;
        packet.SubscriptionIdentifiers = Identifiers;
        packet.PacketIdentifier = PacketId;
        return packet;
    }
}
