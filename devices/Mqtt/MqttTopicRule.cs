using System.Text;

namespace EdgeStream.Devices.Mqtt;

/// <summary>Where messages go whose MQTT topic matches a filter.</summary>
/// <remarks>
/// Filters are those of MQTT 3.1.1, section 4.7. In <see cref="Topic"/> and <see cref="Key"/>, <c>{0}</c>, <c>{1}</c>…
/// stand for a level of the message's topic and <c>{topic}</c> for all of it. Only levels before a <c>#</c> can be used:
/// those after it are not in each topic.
/// </remarks>
public sealed record MqttTopicRule
{
    private const int MaxFilterBytes = ushort.MaxValue;

    private readonly MqttTopicTemplate _topic;
    private readonly MqttTopicTemplate? _key;

    /// <param name="filter">The MQTT topic filter.</param>
    /// <param name="topic">The EdgeStream topic, or a template of it.</param>
    /// <param name="key">A template of the record's key; null is the whole MQTT topic, empty is no key.</param>
    /// <exception cref="SourceConfigurationException">A filter or a template is not one.</exception>
    public MqttTopicRule(string filter, string topic, string? key = null)
    {
        if (ProblemOf(filter) is { } problem)
            throw new SourceConfigurationException($"MQTT filter '{filter}': {problem}");

        if (topic.Length == 0)
            throw new SourceConfigurationException($"MQTT filter '{filter}': its topic must not be empty");

        string[] levels = filter.Split('/');
        int certain = levels[^1] == "#" ? levels.Length - 1 : levels.Length;

        Filter = filter;
        Topic = topic;
        Key = key;
        _topic = MqttTopicTemplate.Parse(topic, certain, "topic");
        _key = key is null or "{topic}" ? null : MqttTopicTemplate.Parse(key, certain, "key");
    }

    public string Filter { get; }

    public string Topic { get; }

    public string? Key { get; }

    /// <summary>The EdgeStream topic where it is the same for each message, else null.</summary>
    public string? TopicName => _topic.IsConstant ? Topic : null;

    /// <summary>True where the key is the whole MQTT topic, so that nothing of it is lost.</summary>
    internal bool KeyIsTopic => _key is null;

    /// <summary>The EdgeStream topics that are known without a message, each once.</summary>
    public static IReadOnlyList<string> TopicNames(IEnumerable<MqttTopicRule> rules) =>
        [.. rules.Select(rule => rule.TopicName).OfType<string>().Distinct(StringComparer.Ordinal)];

    /// <summary>The first of the rules whose filter matches; null where none does.</summary>
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
        ReadOnlySpan<char> filter = Filter;
        ReadOnlySpan<char> topic = mqttTopic;
        if (topic.IsEmpty)
            return false;

        // [MQTT-4.7.2-1]: topics of the server itself are not matched by a leading wildcard.
        bool hidden = topic[0] == '$' && (filter[0] is '+' or '#');
        return !hidden && MatchesLevels(filter, topic);
    }

    public bool Equals(MqttTopicRule? other) =>
        other is not null && Filter == other.Filter && Topic == other.Topic && Key == other.Key;

    public override int GetHashCode() => HashCode.Combine(Filter, Topic, Key);

    /// <summary>The EdgeStream topic of a message that matches.</summary>
    public string TopicOf(string mqttTopic) => _topic.Fill(mqttTopic);

    /// <summary>The key of a message that matches; null where the rule wants none.</summary>
    public string? KeyOf(string mqttTopic) => Key is "" ? null : _key?.Fill(mqttTopic) ?? mqttTopic;

    private static bool MatchesLevels(ReadOnlySpan<char> filter, ReadOnlySpan<char> topic)
    {
        while (true)
        {
            ReadOnlySpan<char> wanted = TakeLevel(ref filter, out bool moreWanted);

            // "sport/#" also matches "sport": # stands for the parent level too, handled where the topic ends below.
            if (wanted is "#")
                return true;

            ReadOnlySpan<char> level = TakeLevel(ref topic, out bool moreTopic);
            if (wanted is not "+" && !wanted.SequenceEqual(level))
                return false;

            if (!moreTopic)
                return !moreWanted || filter is "#";

            if (!moreWanted)
                return false;
        }
    }

    private static ReadOnlySpan<char> TakeLevel(ref ReadOnlySpan<char> rest, out bool more)
    {
        int slash = rest.IndexOf('/');
        more = slash >= 0;
        ReadOnlySpan<char> level = more ? rest[..slash] : rest;
        rest = more ? rest[(slash + 1)..] : [];
        return level;
    }

    private static string? ProblemOf(string filter)
    {
        if (filter.Length == 0)
            return "it must not be empty";

        if (filter.Contains('\0', StringComparison.Ordinal))
            return "it must not contain a null character";

        if (Encoding.UTF8.GetByteCount(filter) > MaxFilterBytes)
            return $"it is longer than {MaxFilterBytes} bytes";

        string[] levels = filter.Split('/');
        for (int index = 0; index < levels.Length; index++)
        {
            string level = levels[index];
            if (level.Contains('#', StringComparison.Ordinal) && (level != "#" || index != levels.Length - 1))
                return "# must be alone, as its last level";

            if (level.Contains('+', StringComparison.Ordinal) && level != "+")
                return "+ must be alone in its level";
        }

        return null;
    }
}
