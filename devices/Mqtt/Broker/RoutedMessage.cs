using System.Buffers;
using System.Text;
using MQTTnet;
using MQTTnet.Packets;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>A message for subscribers, one for all whom it waits for. It owns its memory: that of a packet is used again.</summary>
internal sealed class RoutedMessage
{
    // What it takes beside its text and payload.
    private const int Overhead = 256;

    // The identifier of a property, and the length before each of its texts.
    private const int IdentifierBytes = 1, LengthBytes = 2;

    private readonly long _topicBytes;
    private readonly long _propertyBytes;

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
        Bytes = BytesOf(message);

        // The texts of each property, by their bytes.
        long[][] carried =
        [
            ContentType is null ? [] : [Encoding.UTF8.GetByteCount(ContentType)],
            ResponseTopic is null ? [] : [Encoding.UTF8.GetByteCount(ResponseTopic)],
            CorrelationData is null ? [] : [CorrelationData.Length],
            .. UserProperties?.Select(property => new long[] { Encoding.UTF8.GetByteCount(property.Name), property.ValueBuffer.Length }) ?? [],
        ];
        _topicBytes = Encoding.UTF8.GetByteCount(Topic);
        _propertyBytes = (Format == MqttPayloadFormatIndicator.Unspecified ? 0 : IdentifierBytes + 1)
            + (Expires is null ? 0 : IdentifierBytes + sizeof(uint))
            + carried.Where(texts => texts.Length > 0).Sum(texts => IdentifierBytes + texts.Sum(text => LengthBytes + text));
        IsEncodable = _topicBytes <= ushort.MaxValue && carried.All(texts => texts.All(text => text <= ushort.MaxValue));
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

    /// <inheritdoc cref="BytesOf"/>
    public long Bytes { get; }

    /// <summary>Whether a packet can carry it: two bytes say how long a text is.</summary>
    public bool IsEncodable { get; }

    /// <summary>It is kept for later subscribers, so that deliveries of it take no memory for it.</summary>
    public bool IsKept { get; set; }

    /// <summary>How many deliveries hold it. Belongs to <see cref="Backlog"/>.</summary>
    public int Holders { get; set; }

    public bool IsExpired(TimeSpan now) => Expires <= now;

    /// <summary>What is left of its expiry interval, in whole seconds of which one has begun; 0 where it has none ([MQTT-3.3.2-6]).</summary>
    public uint RemainingSeconds(TimeSpan now) => Expires is { } expires ? (uint)Math.Max(1, Math.Ceiling((expires - now).TotalSeconds)) : 0;

    /// <summary>What a message takes in memory, about.</summary>
    public static long BytesOf(MqttApplicationMessage message) =>
        Overhead + (2L * message.Topic.Length) + message.Payload.Length
        + (2L * (message.ContentType?.Length ?? 0)) + (2L * (message.ResponseTopic?.Length ?? 0)) + (message.CorrelationData?.Length ?? 0)
        + (message.UserProperties?.Sum(property => 64L + (2L * property.Name.Length) + property.ValueBuffer.Length) ?? 0);

    /// <summary>The size of an MQTT 5 packet that carries it.</summary>
    public long PacketBytes(MqttQualityOfServiceLevel quality, IReadOnlyList<uint>? identifiers)
    {
        long properties = _propertyBytes + (identifiers?.Sum(identifier => IdentifierBytes + BytesOfVariable(identifier)) ?? 0);
        long body = LengthBytes + _topicBytes + (quality == MqttQualityOfServiceLevel.AtMostOnce ? 0 : sizeof(ushort))
            + BytesOfVariable(properties) + properties + Payload.Length;
        return 1 + BytesOfVariable(body) + body;
    }

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

    /// <summary>Of a number with seven bits in each byte (section 1.5.5 of MQTT 5).</summary>
    private static int BytesOfVariable(long number) => number switch
    {
        < 1 << 7 => 1,
        < 1 << 14 => 2,
        < 1 << 21 => 3,
        _ => 4,
    };
}
