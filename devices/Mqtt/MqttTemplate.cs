using System.Globalization;
using System.Text;

namespace EdgeStream.Devices.Mqtt;

/// <summary>
/// Text with places for parts of a message: <c>{0}</c>, <c>{1}</c>… a level of its MQTT topic, <c>{topic}</c> all of it,
/// <c>{json:device.id}</c> a field of its JSON payload.
/// </summary>
internal sealed class MqttTemplate
{
    private const string JsonPrefix = "json:";
    private const int WholeTopic = -1;

    private readonly List<Part> _parts = [];

    private MqttTemplate()
    {
    }

    /// <summary>Text, or a field of the payload, or else a level of the topic.</summary>
    private readonly record struct Part(string? Text, JsonField? Field, int Level);

    /// <summary>True where it gives the same text for each message.</summary>
    public bool IsConstant => _parts.TrueForAll(part => part.Text is not null);

    /// <param name="text">The template.</param>
    /// <param name="levels">How many levels each topic has at least.</param>
    /// <param name="what">What it is for, for messages.</param>
    /// <param name="mayReadPayload">Whether <c>{json:…}</c> has a place in it.</param>
    /// <exception cref="SourceConfigurationException">A brace without its partner, or a place that is not there.</exception>
    public static MqttTemplate Parse(string text, int levels, string what, bool mayReadPayload)
    {
        var template = new MqttTemplate();
        int at = 0;
        while (at < text.Length)
        {
            int brace = text.AsSpan(at).IndexOfAny('{', '}');
            if (brace != 0)
            {
                string plain = brace < 0 ? text[at..] : text[at..(at + brace)];
                template._parts.Add(new Part(plain, null, 0));
                at += plain.Length;
                continue;
            }

            int end = text.IndexOf('}', at);
            if (text[at] == '}' || end < 0)
                throw new SourceConfigurationException($"{what} '{text}': a brace has no partner");

            template._parts.Add(ParsePlace(text, text[(at + 1)..end], levels, what, mayReadPayload));
            at = end + 1;
        }

        return template;
    }

    /// <summary>The text for a message; null where its payload does not have a field, and which.</summary>
    /// <param name="topic">A topic with at least the levels promised to <see cref="Parse"/>.</param>
    /// <param name="payload">The message's payload.</param>
    /// <param name="problem">What is wrong with the payload, in one line.</param>
    public string? Fill(string topic, ReadOnlySpan<byte> payload, out string? problem)
    {
        problem = null;
        var filled = new StringBuilder();
        foreach ((string? text, JsonField? field, int level) in _parts)
        {
            if (text is not null)
                filled.Append(text);
            else if (field is null)
                filled.Append(level == WholeTopic ? topic : Level(topic, level));
            else if (field.TryRead(payload, out string value, out problem))
                filled.Append(value);
            else
                return null;
        }

        return filled.ToString();
    }

    /// <summary>Fills a template that does not read the payload.</summary>
    public string Fill(string topic) => Fill(topic, [], out _)!;

    private static Part ParsePlace(string template, string place, int levels, string what, bool mayReadPayload)
    {
        if (place is "topic")
            return new Part(null, null, WholeTopic);

        if (mayReadPayload && place.StartsWith(JsonPrefix, StringComparison.Ordinal))
        {
            return JsonField.TryParse(place[JsonPrefix.Length..], out JsonField? field)
                ? new Part(null, field, 0)
                : throw new SourceConfigurationException($"{what} '{template}': {{{place}}} names no field; write for instance {{json:device.id}}");
        }

        if (int.TryParse(place, NumberStyles.None, CultureInfo.InvariantCulture, out int level) && level < levels)
            return new Part(null, null, level);

        string allowed = levels switch
        {
            0 => "only {topic}",
            1 => "{0} and {topic}",
            _ => $"{{0}} to {{{levels - 1}}} and {{topic}}",
        };
        throw new SourceConfigurationException($"{what} '{template}': {{{place}}} is not in the filter; it has {allowed}");
    }

    private static ReadOnlySpan<char> Level(ReadOnlySpan<char> topic, int level)
    {
        for (; level > 0; level--)
            topic = topic[(topic.IndexOf('/') + 1)..];

        int end = topic.IndexOf('/');
        return end < 0 ? topic : topic[..end];
    }
}
