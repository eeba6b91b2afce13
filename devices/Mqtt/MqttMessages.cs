using System.Buffers;
using System.Text;
using Microsoft.Extensions.Logging;
using MQTTnet;
using MQTTnet.Packets;

namespace EdgeStream.Devices.Mqtt;

/// <summary>Makes records of MQTT messages, the same for both MQTT sources.</summary>
internal static class MqttMessages
{
    private static readonly ReadOnlyMemory<byte> Yes = "1"u8.ToArray();

    /// <summary>The record owns its memory: MQTTnet reuses a message's buffer once its handler has returned.</summary>
    /// <param name="rule">One that the message matches.</param>
    /// <param name="message">The message.</param>
    /// <param name="arrival">Now.</param>
    /// <param name="problem">
    /// What the payload should have had for key, time or headers and does not, in one line. The record is good all the same: its key is
    /// the MQTT topic then, its time that of arrival, and the header is not there.
    /// </param>
    public static SourceRecord ToRecord(MqttTopicRule rule, MqttApplicationMessage message, DateTimeOffset arrival, out string? problem)
    {
        problem = null;
        byte[] payload = message.Payload.ToArray();
        string? key = rule.KeyOf(message.Topic, payload, ref problem);

        // Not "null": as an array, that would become an empty key, which is not the same as none.
        ReadOnlyMemory<byte>? keyBytes = key is null ? default(ReadOnlyMemory<byte>?) : Encoding.UTF8.GetBytes(key);
        DateTimeOffset timestamp = rule.TimestampOf(message.Topic, payload, arrival, ref problem);
        List<KeyValuePair<string, ReadOnlyMemory<byte>>> headers = HeadersOf(rule, message);
        rule.AddHeaders(message.Topic, payload, headers, ref problem);
        return new SourceRecord(rule.TopicOf(message.Topic), keyBytes, payload, timestamp, headers);
    }

    /// <summary>Tells it where it is new: a device that does it wrong does so with each message.</summary>
    public static void CountIncomplete(SourceCounters counters, MqttTopicRule rule, string problem, string name, ILogger logger)
    {
        string reason = $"a message for '{rule.Filter}' was stored without what its rule wants of it: {problem}";
        if (counters.AddIncomplete(reason))
            logger.LogWarning("{Name}: {Reason}", name, reason);
    }

    private static List<KeyValuePair<string, ReadOnlyMemory<byte>>> HeadersOf(MqttTopicRule rule, MqttApplicationMessage message)
    {
        List<KeyValuePair<string, ReadOnlyMemory<byte>>> headers = [];
        if (rule.UserProperties)
        {
            foreach (MqttUserProperty property in message.UserProperties ?? [])
                headers.Add(new(property.Name, property.ValueBuffer.ToArray()));
        }

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
