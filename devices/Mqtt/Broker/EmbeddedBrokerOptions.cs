using System.Net;

namespace EdgeStream.Devices.Mqtt;

/// <summary>A small MQTT broker inside the node, for devices that have none.</summary>
public sealed record EmbeddedBrokerOptions
{
    // A topic and what else stands in front of the payload.
    private const int MaxHeaderBytes = 128 * 1024;

    /// <summary>Where to listen without TLS; port 0 takes any free one; null for nowhere.</summary>
    public IPEndPoint? Listen { get; init; } = new(IPAddress.Any, 1883);

    /// <summary>Where to listen with TLS; null for nowhere.</summary>
    public IPEndPoint? TlsListen { get; init; }

    /// <summary>PEM files of the broker's certificate, the authorities between behind it, and of its key.</summary>
    public string? CertFile { get; init; }

    /// <inheritdoc cref="CertFile"/>
    public string? KeyFile { get; init; }

    /// <summary>PEM file of the authorities whose certificates devices must show where TLS is spoken; null asks for none.</summary>
    public string? ClientCaFile { get; init; }

    public required IReadOnlyList<MqttTopicRule> Rules { get; init; }

    /// <summary>
    /// Larger payloads are refused. Packets that could not have a smaller one are not read at all, before the login either: their
    /// connection ends.
    /// </summary>
    public int MaxPayloadBytes { get; init; } = 1024 * 1024;

    /// <summary>Further devices are turned away.</summary>
    public int MaxConnections { get; init; } = 200;

    /// <summary>
    /// The bytes of what may wait for all subscribers together; of more, the oldest goes. Null is 16 MiB, or two messages where these may
    /// be larger.
    /// </summary>
    public long? MaxWaitingBytes { get; init; }

    /// <summary>Passwords by user name; empty lets anybody in.</summary>
    public IReadOnlyDictionary<string, string> Users { get; init; } = new Dictionary<string, string>();

    internal string Address => Listen is not null ? $"mqtt-broker://{Listen}" : $"mqtts-broker://{TlsListen}";

    /// <summary>Sessions that are kept for devices that are away, and those of the devices that are here.</summary>
    internal int MaxSessions => 5 * MaxConnections;

    internal long WaitingBytes => MaxWaitingBytes ?? Math.Max(16 * 1024 * 1024, 2L * MaxPayloadBytes);

    internal int MaxPacketBytes => MaxPayloadBytes + MaxHeaderBytes;

    /// <summary>How many records all its devices together may bring; those who bring more wait for their PUBACK. Null for any number.</summary>
    public RateLimit? RateLimit { get; init; }

    /// <exception cref="SourceConfigurationException">Something is missing or out of range.</exception>
    public void Validate()
    {
        Require(Listen is not null || TlsListen is not null, "must listen somewhere, with TLS or without");
        Require(Rules.Count > 0, "must have at least one rule");
        Require(!Rules.Any(rule => rule.IsShared), "has nobody to share a subscription with; leave out $share and the group");
        Require(MaxPayloadBytes is >= 1 and <= 128 * 1024 * 1024, $"max payload {MaxPayloadBytes} must be 1 byte to 128 MiB");
        Require(MaxConnections >= 1, $"max connections {MaxConnections} must be at least 1");
        Require(WaitingBytes >= MaxPayloadBytes, $"max waiting {MaxWaitingBytes} must not be less than max payload {MaxPayloadBytes}");
        Require(Users.All(user => user.Key.Length > 0 && user.Value.Length > 0), "user names and passwords must not be empty");
        Require(CertFile is null == KeyFile is null, "a certificate needs its key, and the other way round");
        Require(TlsListen is null == CertFile is null, "to listen with TLS takes a certificate, which is for nothing else");
        Require(ClientCaFile is null || TlsListen is not null, "devices show certificates only where TLS is spoken");
    }

    private void Require(bool condition, string problem)
    {
        if (!condition)
            throw new SourceConfigurationException($"MQTT listener{((Listen ?? TlsListen) is { } where ? $" {where}" : "")}: {problem}");
    }
}
