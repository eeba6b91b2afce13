using System.Buffers;
using System.Text;
using MQTTnet;
using MQTTnet.Packets;

namespace EdgeStream.Devices.Mqtt;

/// <summary>MQTT messages as records: what both the client and the embedded broker make of them.</summary>
internal static class MqttMessages
{
    /// <summary>
    /// The record of a message. User properties become headers; beside them stand <c>content-type</c>, <c>mqtt.retain</c>
    /// ("1", for a message that was retained) and <c>mqtt.topic</c>, where the key does not tell it. All memory is copied: the
    /// library uses its buffers again.
    /// </summary>
    public static SourceRecord ToRecord(MqttApplicationMessage message, MqttTopicRule rule, DateTimeOffset now)
    {
        List<KeyValuePair<string, ReadOnlyMemory<byte>>>? headers = null;
        foreach (MqttUserProperty property in message.UserProperties ?? [])
            Add(property.Name, property.ValueBuffer.ToArray());

        if (!string.IsNullOrEmpty(message.ContentType))
            Add("content-type", Encoding.UTF8.GetBytes(message.ContentType));

        if (message.Retain)
            Add("mqtt.retain", "1"u8.ToArray());

        if (!rule.KeyIsWholeTopic)
            Add("mqtt.topic", Encoding.UTF8.GetBytes(message.Topic));

        return new SourceRecord(
            rule.TopicFor(message.Topic),
            new ReadOnlyMemory<byte>(rule.KeyFor(message.Topic)),
            message.Payload.ToArray(),
            now,
            headers ?? []);

        void Add(string key, byte[] value) => (headers ??= []).Add(KeyValuePair.Create(key, new ReadOnlyMemory<byte>(value)));
    }
}
