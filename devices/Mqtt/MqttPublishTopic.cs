using System.Diagnostics.CodeAnalysis;
using System.Text;
using MQTTnet;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Mqtt;

/// <summary>An MQTT topic to publish to, with places for parts of the record: <c>{key}</c>, <c>{topic}</c>.</summary>
internal sealed class MqttPublishTopic
{
    // What a topic's length is counted in takes two bytes.
    private const int MaxBytes = ushort.MaxValue;

    private static readonly UTF8Encoding StrictUtf8 = new(false, throwOnInvalidBytes: true);

    // Text and places in turn; a place is one of the two words.
    private readonly List<(string Text, bool IsPlace)> _parts = [];

    private MqttPublishTopic()
    {
    }

    /// <exception cref="SourceConfigurationException">No topic, a wildcard, or a place that does not exist.</exception>
    public static MqttPublishTopic Parse(string text)
    {
        if (text.Length == 0 || text.AsSpan().ContainsAny('+', '#', '\0'))
            throw new SourceConfigurationException($"publish '{text}': an MQTT topic to publish to is not empty and has neither + nor #");

        var topic = new MqttPublishTopic();
        for (string rest = text; rest.Length > 0;)
        {
            int brace = rest.AsSpan().IndexOfAny('{', '}');
            if (brace != 0)
            {
                string plain = brace < 0 ? rest : rest[..brace];
                topic._parts.Add((plain, false));
                rest = rest[plain.Length..];
                continue;
            }

            int end = rest.IndexOf('}', StringComparison.Ordinal);
            string place = rest[0] == '{' && end > 0 ? rest[1..end] : "";
            if (place is not ("key" or "topic"))
                throw new SourceConfigurationException($"publish '{text}': only {{key}} and {{topic}} can stand in braces");

            topic._parts.Add((place, true));
            rest = rest[(end + 1)..];
        }

        return topic;
    }

    /// <summary>The topic for a record; false where its key cannot be part of one, and why.</summary>
    public bool TryFill(SinkRecord record, out string topic, [NotNullWhen(false)] out string? problem)
    {
        topic = "";
        var filled = new StringBuilder();
        foreach ((string text, bool isPlace) in _parts)
        {
            string? part = !isPlace ? text : text == "topic" ? record.Topic : KeyOf(record);
            if (part is null)
            {
                problem = "it has no key that can stand in an MQTT topic";
                return false;
            }

            filled.Append(part);
        }

        topic = filled.ToString();
        problem = Encoding.UTF8.GetByteCount(topic) > MaxBytes ? "its MQTT topic would be too long" : null;
        return problem is null;
    }

    /// <summary>The message for a record, which owns its memory; false where its key cannot be part of the topic, and why.</summary>
    public bool TryMake(
        MqttPublication publication, SinkRecord record, [NotNullWhen(true)] out MqttApplicationMessage? message, [NotNullWhen(false)] out string? problem)
    {
        message = null;
        if (!TryFill(record, out string topic, out problem))
            return false;

        message = new MqttApplicationMessageBuilder()
            .WithTopic(topic)
            .WithPayload(record.Value.ToArray())
            .WithQualityOfServiceLevel((MqttQualityOfServiceLevel)publication.Qos)
            .WithRetainFlag(publication.Retain)
            .Build();
        return true;
    }

    /// <summary>Null where there is none, or it would be more than a name there.</summary>
    private static string? KeyOf(SinkRecord record)
    {
        if (record.Key is not { IsEmpty: false } key)
            return null;

        try
        {
            string text = StrictUtf8.GetString(key.Span);
            return text.AsSpan().ContainsAny('+', '#', '\0') ? null : text;
        }
        catch (DecoderFallbackException)
        {
            return null;
        }
    }
}
