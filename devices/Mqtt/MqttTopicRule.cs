using System.Globalization;
using System.Text;

namespace EdgeStream.Devices.Mqtt;

/// <summary>
/// Which MQTT messages are stored, and where: a topic filter (MQTT 3.1.1 section 4.7) and what becomes of a topic that it
/// matches. Pure and immutable.
/// </summary>
/// <remarks>
/// In the templates <c>{0}</c>, <c>{1}</c> … stand for the levels of the MQTT topic and <c>{topic}</c> for all of it: with the
/// filter <c>sensors/+/temperature</c> and the key <c>{1}</c>, what came by <c>sensors/kitchen/temperature</c> has the key
/// <c>kitchen</c>.
/// </remarks>
public sealed class MqttTopicRule
{
    private const string WholeTopic = "{topic}";

    private readonly string[] _filter;

    /// <param name="filter">The topic filter, with <c>+</c> and <c>#</c>.</param>
    /// <param name="topic">The EdgeStream topic, a name or a template.</param>
    /// <param name="key">The records' key, a template; the whole MQTT topic where it is null.</param>
    /// <exception cref="SourceConfigurationException">The filter is no filter, or a template names a level that cannot be.</exception>
    public MqttTopicRule(string filter, string topic, string? key)
    {
        if (FindProblem(filter) is { } problem)
            throw new SourceConfigurationException($"'{filter}' is no topic filter: {problem}");

        Filter = filter;
        Topic = topic;
        Key = key ?? WholeTopic;
        _filter = filter.Split('/');
        CheckTemplate(Topic);
        CheckTemplate(Key);
    }

    public string Filter { get; }

    public string Topic { get; }

    public string Key { get; }

    /// <summary>The EdgeStream topic where it is the same for all messages; null where it is a template.</summary>
    public string? StaticTopic => Topic.Contains('{', StringComparison.Ordinal) ? null : Topic;

    /// <summary>Whether the key tells the whole MQTT topic.</summary>
    public bool KeyIsWholeTopic => Key == WholeTopic;

    /// <summary>The first rule that matches an MQTT topic, or null.</summary>
    public static MqttTopicRule? Find(IReadOnlyList<MqttTopicRule> rules, string mqttTopic)
    {
        foreach (MqttTopicRule rule in rules)
        {
            if (rule.Matches(mqttTopic))
                return rule;
        }

        return null;
    }

    public bool Matches(string mqttTopic)
    {
        // [MQTT-4.7.2-1]: a wildcard in front does not match the broker's own topics, such as $SYS.
        if (mqttTopic.StartsWith('$') && _filter[0] is ("+" or "#"))
            return false;

        int level = 0;
        foreach (Range range in mqttTopic.AsSpan().Split('/'))
        {
            if (level == _filter.Length)
                return false;

            if (_filter[level] == "#")
                return true;

            if (_filter[level] != "+" && !mqttTopic.AsSpan(range).SequenceEqual(_filter[level]))
                return false;

            level++;
        }

        // "sport/#" matches "sport" as well.
        return level == _filter.Length || (level == _filter.Length - 1 && _filter[level] == "#");
    }

    /// <summary>The EdgeStream topic of a message.</summary>
    public string TopicFor(string mqttTopic) => Expand(Topic, mqttTopic);

    /// <summary>The key of a message, as UTF-8.</summary>
    public byte[] KeyFor(string mqttTopic) => Encoding.UTF8.GetBytes(KeyIsWholeTopic ? mqttTopic : Expand(Key, mqttTopic));

    private static string? FindProblem(string filter)
    {
        if (filter.Length == 0)
            return "it is empty";

        if (filter.Contains('\0', StringComparison.Ordinal))
            return "it has a NUL in it";

        if (Encoding.UTF8.GetByteCount(filter) > ushort.MaxValue)
            return "it is longer than 65535 bytes";

        string[] levels = filter.Split('/');
        for (int i = 0; i < levels.Length; i++)
        {
            if (levels[i].Contains('#', StringComparison.Ordinal) && (levels[i] != "#" || i != levels.Length - 1))
                return "'#' stands alone in the last level";

            if (levels[i].Contains('+', StringComparison.Ordinal) && levels[i] != "+")
                return "'+' stands alone in its level";
        }

        return null;
    }

    /// <summary>Replaces placeholders; a level that the topic does not have is empty.</summary>
    private static string Expand(string template, string mqttTopic)
    {
        if (!template.Contains('{', StringComparison.Ordinal))
            return template;

        string[] levels = mqttTopic.Split('/');
        var expanded = new StringBuilder();
        foreach ((string literal, string? placeholder) in Parts(template))
        {
            expanded.Append(literal);
            if (placeholder == "topic")
                expanded.Append(mqttTopic);
            else if (placeholder is not null && int.Parse(placeholder, CultureInfo.InvariantCulture) is var level && level < levels.Length)
                expanded.Append(levels[level]);
        }

        return expanded.ToString();
    }

    private static void CheckTemplate(string template)
    {
        foreach ((_, string? placeholder) in Parts(template))
        {
            bool known = placeholder is null or "topic"
                || (int.TryParse(placeholder, NumberStyles.None, CultureInfo.InvariantCulture, out int level) && level < 128);
            if (!known)
                throw new SourceConfigurationException($"'{template}': {{{placeholder}}} is not one of {{topic}}, {{0}}, {{1}} …");
        }
    }

    private static IEnumerable<(string Literal, string? Placeholder)> Parts(string template)
    {
        int at = 0;
        while (at < template.Length)
        {
            int open = template.IndexOf('{', at);
            int close = open < 0 ? -1 : template.IndexOf('}', open);
            if (open >= 0 && close < 0)
                throw new SourceConfigurationException($"'{template}': a '{{' is not closed");

            yield return open < 0 ? (template[at..], null) : (template[at..open], template[(open + 1)..close]);
            at = open < 0 ? template.Length : close + 1;
        }
    }
}
