using System.Net;

namespace EdgeStream.Devices.Mqtt;

/// <summary>A small MQTT broker inside the node, for devices that have none.</summary>
public sealed record EmbeddedBrokerOptions
{
    /// <summary>Where to listen; port 0 takes any free one.</summary>
    public IPEndPoint Listen { get; init; } = new(IPAddress.Any, 1883);

    public required IReadOnlyList<MqttTopicRule> Rules { get; init; }

    /// <summary>Larger payloads are refused.</summary>
    public int MaxPayloadBytes { get; init; } = 1024 * 1024;

    /// <summary>Passwords by user name; empty lets anybody in.</summary>
    public IReadOnlyDictionary<string, string> Users { get; init; } = new Dictionary<string, string>();

    /// <summary>How many records all its devices together may bring; those who bring more wait for their PUBACK. Null for any number.</summary>
    public RateLimit? RateLimit { get; init; }

    /// <exception cref="SourceConfigurationException">Something is missing or out of range.</exception>
    public void Validate()
    {
        if (Rules.Count == 0)
            throw new SourceConfigurationException($"MQTT listener {Listen}: must have at least one rule");

        if (MaxPayloadBytes < 1)
            throw new SourceConfigurationException($"MQTT listener {Listen}: max payload {MaxPayloadBytes} must be at least 1 byte");

        if (Users.Any(user => user.Key.Length == 0 || user.Value.Length == 0))
            throw new SourceConfigurationException($"MQTT listener {Listen}: user names and passwords must not be empty");
    }
}
