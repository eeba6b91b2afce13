namespace EdgeStream.Devices.Mqtt;

/// <summary>
/// Finds records that would go around in a circle: published at a broker, taken from there by a source, into the topic that they came
/// from. Rather one harmless configuration too many is refused than a disk is filled.
/// </summary>
public static class MqttLoops
{
    /// <summary>A topic whose records come back to it, and the MQTT topic at which they do; null where there is none.</summary>
    public static (string Topic, string Publish)? Find(IReadOnlyList<MqttSinkOptions> sinks, IReadOnlyList<MqttSourceOptions> sources)
    {
        foreach (MqttSinkOptions first in sinks)
        {
            var reached = new HashSet<string>(StringComparer.Ordinal);
            var next = new Queue<MqttSinkOptions>([first]);
            while (next.TryDequeue(out MqttSinkOptions? sink))
            {
                foreach (MqttTopicRule rule in RulesThatTake(sink, sources))
                {
                    // A rule that takes the topic from the message may mean any.
                    if (rule.TopicName is null || rule.TopicName == first.Topic)
                        return (first.Topic, sink.Publish);

                    if (reached.Add(rule.TopicName))
                    {
                        foreach (MqttSinkOptions follower in sinks.Where(other => other.Topic == rule.TopicName))
                            next.Enqueue(follower);
                    }
                }
            }
        }

        return null;
    }

    private static IEnumerable<MqttTopicRule> RulesThatTake(MqttSinkOptions sink, IReadOnlyList<MqttSourceOptions> sources) => sources
        .Where(source => source.Authority == sink.Authority)
        .SelectMany(source => source.Rules)
        .Where(rule => MayMatch(rule.MatchedFilter, sink.Publish.Replace("{topic}", sink.Topic, StringComparison.Ordinal)));

    /// <summary>
    /// Compares the levels in front of the first that a record decides, which may become several, and those behind the last.
    /// </summary>
    private static bool MayMatch(string filter, string publish)
    {
        string[] wanted = filter.Split('/'), given = publish.Split('/');
        int open = Array.FindIndex(given, level => level.Contains('{', StringComparison.Ordinal));
        if (open < 0)
            return new MqttTopicRule(filter, "any").Matches(publish);

        for (int level = 0; level < open; level++)
        {
            if (level == wanted.Length)
                return false;

            if (wanted[level] == "#")
                return true;

            if (wanted[level] != "+" && wanted[level] != given[level])
                return false;
        }

        if (wanted[^1] == "#")
            return true;

        int last = Array.FindLastIndex(given, level => level.Contains('{', StringComparison.Ordinal));
        for (int back = 1; back <= given.Length - last - 1 && back <= wanted.Length - open; back++)
        {
            if (wanted[^back] != "+" && wanted[^back] != given[^back])
                return false;
        }

        return wanted.Length >= given.Length;
    }
}
