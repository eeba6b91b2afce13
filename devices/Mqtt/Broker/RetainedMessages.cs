using MQTTnet;

namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>
/// The last message of each topic that asked to be kept for later subscribers: a device's last values, not a history. Bounded, for a
/// device may think of ever new topics. Not safe for several threads.
/// </summary>
/// <param name="changed">Told of each change.</param>
internal sealed class RetainedMessages(Action changed)
{
    public const long MaxBytes = 16 * 1024 * 1024;

    private readonly Dictionary<string, RoutedMessage> _byTopic = new(StringComparer.Ordinal);
    private long _bytes;

    /// <summary>Told of each that is not kept any more: it was replaced, taken away, or has expired.</summary>
    public Action<RoutedMessage> LetGo { get; set; } = message => message.IsKept = false;

    /// <summary>Keeps it in place of what its topic had; an empty payload takes that away.</summary>
    /// <returns>False where there is no room.</returns>
    public bool TryKeep(RoutedMessage message, TimeSpan now)
    {
        _byTopic.TryGetValue(message.Topic, out RoutedMessage? known);
        if (message.Payload.Length == 0)
        {
            if (known is not null)
                Remove(known);

            return true;
        }

        if (known?.IsSameAs(message) == true)
            return true;

        long more = message.Bytes - (known?.Bytes ?? 0);
        if (_bytes + more > MaxBytes)
            ForgetExpired(now);

        known = _byTopic.GetValueOrDefault(message.Topic);
        more = message.Bytes - (known?.Bytes ?? 0);
        if (_bytes + more > MaxBytes)
            return false;

        _byTopic[message.Topic] = message;
        message.IsKept = true;
        _bytes += more;
        changed();
        if (known is not null)
            LetGo(known);

        return true;
    }

    public IEnumerable<RoutedMessage> All(TimeSpan now)
    {
        ForgetExpired(now);
        return _byTopic.Values;
    }

    /// <summary>What a filter matches and has not expired.</summary>
    public IReadOnlyList<RoutedMessage> Matching(string filter, TimeSpan now)
    {
        if (!filter.AsSpan().ContainsAny('+', '#'))
            return _byTopic.TryGetValue(filter, out RoutedMessage? message) && !message.IsExpired(now) ? [message] : [];

        return [.. _byTopic.Values.Where(
            message => !message.IsExpired(now) && MqttTopicFilterComparer.Compare(message.Topic, filter) == MqttTopicFilterCompareResult.IsMatch)];
    }

    private void ForgetExpired(TimeSpan now)
    {
        foreach (RoutedMessage message in _byTopic.Values.Where(message => message.IsExpired(now)).ToArray())
            Remove(message);
    }

    private void Remove(RoutedMessage message)
    {
        _byTopic.Remove(message.Topic);
        _bytes -= message.Bytes;
        changed();
        LetGo(message);
    }
}
