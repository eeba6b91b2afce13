using System.Net;

namespace EdgeStream.Devices.Mqtt;

/// <summary>A broker inside this node.</summary>
public sealed record EmbeddedBrokerOptions
{
    /// <summary>Where devices connect.</summary>
    public required IPEndPoint Listen { get; init; }

    /// <summary>What is stored; the rest is only passed on to subscribers.</summary>
    public required IReadOnlyList<MqttTopicRule> Rules { get; init; }

    /// <summary>Passwords by user name; empty lets everybody in.</summary>
    public IReadOnlyDictionary<string, string> Users { get; init; } = new Dictionary<string, string>();

    /// <summary>Messages with larger payloads are refused, in bytes.</summary>
    public int MaxPayloadBytes { get; init; } = 1024 * 1024;

    /// <exception cref="SourceConfigurationException">A value is out of range.</exception>
    public EmbeddedBrokerOptions Validated()
    {
        if (Listen.Port == 0)
            throw new SourceConfigurationException($"a broker needs a port that devices know, not {Listen}");

        return Rules.Count == 0 ? throw new SourceConfigurationException("there is no topic to store") : this;
    }
}
