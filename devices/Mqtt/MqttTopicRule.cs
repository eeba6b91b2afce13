using System.Text;

namespace EdgeStream.Devices.Mqtt;

/// <summary>Where messages go whose MQTT topic matches a filter, and what their records carry.</summary>
/// <remarks>
/// Filters are those of MQTT 3.1.1, section 4.7, also as a shared subscription (<c>$share/GROUP/FILTER</c>), whose levels are those
/// of the filter in it. In templates, <c>{0}</c>, <c>{1}</c>… stand for a level of the message's topic, <c>{topic}</c> for all of it
/// and <c>{json:device.id}</c> for a field of its payload, which the EdgeStream topic cannot depend on. Only levels before a
/// <c>#</c> can be used: those after it are not in each topic.
/// </remarks>
public sealed record MqttTopicRule
{
    private const int MaxFilterBytes = ushort.MaxValue;
    private const string SharePrefix = "$share/";

    private readonly string _match;
    private readonly int _levels;
    private readonly MqttTemplate _topic;
    private readonly MqttTemplate? _key;
    private readonly MqttTemplate? _timestamp;
    private readonly KeyValuePair<string, MqttTemplate>[] _headers = [];

    /// <param name="filter">The MQTT topic filter.</param>
    /// <param name="topic">The EdgeStream topic, or a template of it.</param>
    /// <param name="key">A template of the record's key; null is the whole MQTT topic, empty is no key.</param>
    /// <exception cref="SourceConfigurationException">A filter or a template is not one.</exception>
    public MqttTopicRule(string filter, string topic, string? key = null)
    {
        if (ProblemOf(filter, out _match) is { } problem)
            throw new SourceConfigurationException($"MQTT filter '{filter}': {problem}");

        if (topic.Length == 0)
            throw new SourceConfigurationException($"MQTT filter '{filter}': its topic must not be empty");

        string[] levels = _match.Split('/');
        _levels = levels[^1] == "#" ? levels.Length - 1 : levels.Length;

        Filter = filter;
        Topic = topic;
        Key = key;
        _topic = MqttTemplate.Parse(topic, _levels, "topic", mayReadPayload: false);
        _key = key is null or "{topic}" ? null : MqttTemplate.Parse(key, _levels, "key", mayReadPayload: true);
    }

    public string Filter { get; }

    /// <summary>The filter that topics are compared with: that in a shared subscription, else the same.</summary>
    internal string MatchedFilter => _match;

    public string Topic { get; }

    public string? Key { get; }

    /// <summary>A template of the record's time, for instance <c>{json:ts}</c>; null is the time of arrival.</summary>
    public string? Timestamp
    {
        get;
        init
        {
            field = value;
            _timestamp = value is null ? null : MqttTemplate.Parse(value, _levels, "timestamp", mayReadPayload: true);
        }
    }

    public MqttTimestampFormat TimestampFormat { get; init; }

    /// <summary>Names and templates of headers that each record gets.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Headers
    {
        get;
        init
        {
            field = value;
            _headers = [.. value.Select(header => KeyValuePair.Create(
                header.Key, MqttTemplate.Parse(header.Value, _levels, $"header '{header.Key}'", mayReadPayload: true)))];
        }
    } = [];

    /// <summary>Whether the user properties of an MQTT 5 message become headers.</summary>
    public bool UserProperties { get; init; } = true;

    /// <summary>The topics are those of Sparkplug B, and their parts become headers; the payload stays as it is.</summary>
    /// <exception cref="SourceConfigurationException">The filter lets other topics in.</exception>
    public bool Sparkplug
    {
        get;
        init
        {
            field = value;
            if (value && !_match.StartsWith(SparkplugTopic.Namespace + "/", StringComparison.Ordinal))
                throw new SourceConfigurationException($"MQTT filter '{Filter}': topics of Sparkplug B begin with {SparkplugTopic.Namespace}/");
        }
    }

    /// <summary>Whether the broker shares the messages out among those who subscribe in this way.</summary>
    public bool IsShared => Filter.StartsWith(SharePrefix, StringComparison.Ordinal);

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
        ReadOnlySpan<char> filter = _match;
        ReadOnlySpan<char> topic = mqttTopic;
        if (topic.IsEmpty)
            return false;

        // [MQTT-4.7.2-1]: topics of the server itself are not matched by a leading wildcard.
        bool hidden = topic[0] == '$' && (filter[0] is '+' or '#');
        return !hidden && MatchesLevels(filter, topic);
    }

    public bool Equals(MqttTopicRule? other) => other is not null
        && (Filter, Topic, Key, Timestamp, TimestampFormat, UserProperties, Sparkplug)
            == (other.Filter, other.Topic, other.Key, other.Timestamp, other.TimestampFormat, other.UserProperties, other.Sparkplug)
        && Headers.SequenceEqual(other.Headers);

    public override int GetHashCode() => HashCode.Combine(Filter, Topic, Key);

    /// <summary>The EdgeStream topic of a message that matches.</summary>
    public string TopicOf(string mqttTopic) => _topic.Fill(mqttTopic);

    /// <summary>The key of a message that matches; null where the rule wants none.</summary>
    /// <param name="mqttTopic">The message's topic; the key where the payload does not have what it is made of.</param>
    /// <param name="payload">The message's payload.</param>
    /// <param name="problem">What is wrong with the payload, in one line.</param>
    internal string? KeyOf(string mqttTopic, ReadOnlySpan<byte> payload, ref string? problem)
    {
        if (Key is "")
            return null;

        if (_key is null)
            return mqttTopic;

        string? key = _key.Fill(mqttTopic, payload, out string? flaw);
        problem ??= flaw;
        return key ?? mqttTopic;
    }

    /// <summary>When it happened, by the message itself; <paramref name="arrival"/> where it does not say so.</summary>
    internal DateTimeOffset TimestampOf(string mqttTopic, ReadOnlySpan<byte> payload, DateTimeOffset arrival, ref string? problem)
    {
        if (_timestamp is null)
            return arrival;

        string? text = _timestamp.Fill(mqttTopic, payload, out string? flaw);
        problem ??= flaw;
        if (text is null)
            return arrival;

        if (MqttTimestamp.TryParse(text, TimestampFormat, out DateTimeOffset time))
            return time;

        problem ??= "its timestamp cannot be read";
        return arrival;
    }

    /// <summary>Adds the headers of this rule; those whose part the payload does not have are left out.</summary>
    internal void AddHeaders(
        string mqttTopic, ReadOnlySpan<byte> payload, List<KeyValuePair<string, ReadOnlyMemory<byte>>> headers, ref string? problem)
    {
        if (Sparkplug)
            SparkplugTopic.AddHeaders(mqttTopic, headers);

        foreach ((string name, MqttTemplate template) in _headers)
        {
            if (template.Fill(mqttTopic, payload, out string? flaw) is { } text)
                headers.Add(new(name, Encoding.UTF8.GetBytes(text)));

            problem ??= flaw;
        }
    }

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

    internal static string? ProblemOf(string filter, out string match)
    {
        match = filter;
        if (filter.Contains('\0', StringComparison.Ordinal))
            return "it must not contain a null character";

        if (Encoding.UTF8.GetByteCount(filter) > MaxFilterBytes)
            return $"it is longer than {MaxFilterBytes} bytes";

        if (filter.StartsWith(SharePrefix, StringComparison.Ordinal))
        {
            int slash = filter.IndexOf('/', SharePrefix.Length);
            if (slash <= SharePrefix.Length || slash == filter.Length - 1 || filter[SharePrefix.Length..slash].AsSpan().ContainsAny('+', '#'))
                return "a shared subscription is $share/GROUP/FILTER, its group a plain name";

            match = filter[(slash + 1)..];
        }

        if (match.Length == 0)
            return "it must not be empty";

        string[] levels = match.Split('/');
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
