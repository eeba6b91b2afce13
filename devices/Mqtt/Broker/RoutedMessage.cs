using System.Buffers;
using MQTTnet;
using MQTTnet.Packets;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>A message for subscribers, one for all whom it waits for. It owns its memory: that of a packet is used again.</summary>
internal sealed class RoutedMessage
{
    // What it takes beside its text and payload.
    private const int Overhead = 256;

    /// <param name="message">What a device, or the node, has published.</param>
    /// <param name="now">Of a monotonic clock: its expiry interval begins.</param>
    public RoutedMessage(MqttApplicationMessage message, TimeSpan now)
    {
        Topic = message.Topic;
        Payload = message.Payload.ToArray();
        Quality = message.QualityOfServiceLevel;
        Retain = message.Retain;
        ContentType = message.ContentType;
        ResponseTopic = message.ResponseTopic;
        CorrelationData = message.CorrelationData?.ToArray();
        Format = message.PayloadFormatIndicator;
        UserProperties = message.UserProperties is not { Count: > 0 } properties
            ? null
            : [.. properties.Select(property => new MqttUserProperty(property.Name, property.ValueBuffer.ToArray()))];
        Expires = message.MessageExpiryInterval == 0 ? null : now + TimeSpan.FromSeconds(message.MessageExpiryInterval);
        Bytes = Overhead + (2L * Topic.Length) + Payload.Length + (2L * (ContentType?.Length ?? 0)) + (2L * (ResponseTopic?.Length ?? 0))
            + (CorrelationData?.Length ?? 0) + (UserProperties?.Sum(property => 64L + (2L * property.Name.Length) + property.ValueBuffer.Length) ?? 0);
    }

    public string Topic { get; }

    public byte[] Payload { get; }

    public MqttQualityOfServiceLevel Quality { get; }

    public bool Retain { get; }

    public string? ContentType { get; }

    public string? ResponseTopic { get; }

    public byte[]? CorrelationData { get; }

    public MqttPayloadFormatIndicator Format { get; }

    public List<MqttUserProperty>? UserProperties { get; }

    /// <summary>When nobody is to get it any more; null for never.</summary>
    public TimeSpan? Expires { get; }

    /// <summary>What it takes in memory, about.</summary>
    public long Bytes { get; }

    /// <summary>How many deliveries hold it. Belongs to <see cref="Backlog"/>.</summary>
    public int Holders { get; set; }

    public bool IsExpired(TimeSpan now) => Expires <= now;

    /// <summary>What is left of its expiry interval, in whole seconds of which one has begun; 0 where it has none ([MQTT-3.3.2-6]).</summary>
    public uint RemainingSeconds(TimeSpan now) => Expires is { } expires ? (uint)Math.Max(1, Math.Ceiling((expires - now).TotalSeconds)) : 0;

    public bool IsSameAs(RoutedMessage other) =>
        Quality == other.Quality && Expires is null && other.Expires is null && Payload.AsSpan().SequenceEqual(other.Payload)
        && (ContentType, ResponseTopic, Format) == (other.ContentType, other.ResponseTopic, other.Format)
        && UserProperties is null && other.UserProperties is null && CorrelationData is null && other.CorrelationData is null;

    public MqttPublishPacket ToPacket(TimeSpan now) => new()
    {
        Topic = Topic,
        Payload = new ReadOnlySequence<byte>(Payload),
        ContentType = ContentType,
        ResponseTopic = ResponseTopic,
        CorrelationData = CorrelationData,
        PayloadFormatIndicator = Format,
        UserProperties = UserProperties,
        MessageExpiryInterval = RemainingSeconds(now),
    };
}
