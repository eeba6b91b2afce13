using System.Globalization;
using System.Text;

namespace EdgeStream.Devices.Mqtt;

/// <summary>Text with places for parts of an MQTT topic: <c>{0}</c>, <c>{1}</c>… a level, <c>{topic}</c> all of it.</summary>
internal sealed class MqttTopicTemplate
{
    private const int WholeTopic = -1;

    // Text and places in turn; a part without text is a place.
    private readonly List<(string? Text, int Level)> _parts = [];

    private MqttTopicTemplate()
    {
    }

    /// <summary>True where it gives the same text for each topic.</summary>
    public bool IsConstant => _parts.TrueForAll(part => part.Text is not null);

    /// <param name="text">The template.</param>
    /// <param name="levels">How many levels each topic has at least.</param>
    /// <param name="what">What it is for, for messages.</param>
    /// <exception cref="SourceConfigurationException">A brace without its partner, or a place that is not there.</exception>
    public static MqttTopicTemplate Parse(string text, int levels, string what)
    {
        var template = new MqttTopicTemplate();
        int at = 0;
        while (at < text.Length)
        {
            int brace = text.AsSpan(at).IndexOfAny('{', '}');
            if (brace != 0)
            {
                string plain = brace < 0 ? text[at..] : text[at..(at + brace)];
                template._parts.Add((plain, 0));
                at += plain.Length;
                continue;
            }

            int end = text.IndexOf('}', at);
            if (text[at] == '}' || end < 0)
                throw new SourceConfigurationException($"{what} '{text}': a brace has no partner");

            template._parts.Add((null, ParsePlace(text, text.AsSpan((at + 1)..end), levels, what)));
            at = end + 1;
        }

        return template;
    }

    /// <param name="topic">A topic with at least the levels promised to <see cref="Parse"/>.</param>
    public string Fill(string topic)
    {
        var filled = new StringBuilder();
        foreach ((string? text, int level) in _parts)
        {
            if (text is not null)
                filled.Append(text);
            else
                filled.Append(level == WholeTopic ? topic : Level(topic, level));
        }

        return filled.ToString();
    }

    private static int ParsePlace(string template, ReadOnlySpan<char> place, int levels, string what)
    {
        if (place is "topic")
            return WholeTopic;

        if (int.TryParse(place, NumberStyles.None, CultureInfo.InvariantCulture, out int level) && level < levels)
            return level;

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
