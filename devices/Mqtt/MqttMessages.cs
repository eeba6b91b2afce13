using System.Buffers;
using System.Text;
using MQTTnet;
using MQTTnet.Packets;

namespace EdgeStream.Devices.Mqtt;

/// <summary>Makes records of MQTT messages, the same for both MQTT sources.</summary>
internal static class MqttMessages
{
    private static readonly ReadOnlyMemory<byte> Yes = "1"u8.ToArray();

    /// <summary>The record owns its memory: MQTTnet reuses a message's buffer once its handler has returned.</summary>
    public static SourceRecord ToRecord(MqttTopicRule rule, MqttApplicationMessage message, DateTimeOffset timestamp)
    {
        // By hand: a null array would convert to an empty key, which is not the same as none.
        string? key = rule.KeyOf(message.Topic);
        ReadOnlyMemory<byte>? keyBytes = key is null ? null : new ReadOnlyMemory<byte>(Encoding.UTF8.GetBytes(key));

        return new SourceRecord(
            rule.TopicOf(message.Topic), keyBytes, message.Payload.ToArray(), timestamp, HeadersOf(rule, message));
    }

    private static List<KeyValuePair<string, ReadOnlyMemory<byte>>> HeadersOf(MqttTopicRule rule, MqttApplicationMessage message)
    {
        List<KeyValuePair<string, ReadOnlyMemory<byte>>> headers = [];
        foreach (MqttUserProperty property in message.UserProperties ?? [])
            headers.Add(new(property.Name, property.ValueBuffer.ToArray()));

        if (!string.IsNullOrEmpty(message.ContentType))
            headers.Add(new("content-type", Encoding.UTF8.GetBytes(message.ContentType)));

        if (!rule.KeyIsTopic)
            headers.Add(new("mqtt.topic", Encoding.UTF8.GetBytes(message.Topic)));

        if (message.Retain)
            headers.Add(new("mqtt.retain", Yes));

        return headers;
    }

    /// <summary>Why it failed, in one line; wrapped exceptions tell it in their innermost.</summary>
    public static string OneLine(Exception error) =>
        error.GetBaseException().Message.ReplaceLineEndings(" ").Trim();
}
