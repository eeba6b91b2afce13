namespace EdgeStream.Devices.Mqtt;

public enum MqttProtocol
{
    V311,
    V5,
}

/// <summary>A broker to take messages from.</summary>
public sealed record MqttSourceOptions
{
    private const int MqttPort = 1883;
    private const int MqttsPort = 8883;

    /// <summary><c>mqtt://host[:1883]</c>, or <c>mqtts://host[:8883]</c> for TLS.</summary>
    public required Uri Broker { get; init; }

    /// <summary>Names the session in which the broker keeps what was not acknowledged; must not change, and be used once.</summary>
    public required string ClientId { get; init; }

    public MqttProtocol Protocol { get; init; } = MqttProtocol.V5;

    public string? Username { get; init; }

    public string? Password { get; init; }

    /// <summary>PEM file of the authorities to trust instead of the system's; only with <c>mqtts://</c>.</summary>
    public string? CaFile { get; init; }

    public required IReadOnlyList<MqttTopicRule> Rules { get; init; }

    /// <summary>Messages taken but not durable and acknowledged yet, 1 to 65535; in MQTT 5 the broker is told (receive maximum).</summary>
    public int MaxInFlight { get; init; } = 512;

    public TimeSpan KeepAlive { get; init; } = TimeSpan.FromSeconds(30);

    internal bool Tls => Broker.Scheme == "mqtts";

    internal int Port => Broker.Port > 0 ? Broker.Port : Tls ? MqttsPort : MqttPort;

    /// <exception cref="SourceConfigurationException">Something is missing or out of range.</exception>
    public void Validate()
    {
        if (!Broker.IsAbsoluteUri || Broker.Scheme is not ("mqtt" or "mqtts") || Broker.Host.Length == 0)
            throw new SourceConfigurationException($"MQTT broker '{Broker}': must be mqtt://host[:port] or mqtts://host[:port]");

        if (Broker.UserInfo.Length > 0 || Broker.PathAndQuery is not ("" or "/"))
            throw new SourceConfigurationException($"MQTT broker {Broker.Scheme}://{Broker.Host}: must have neither user nor path");

        Require(ClientId.Length > 0, "client id must not be empty: the broker keeps the session by it");
        Require(Enum.IsDefined(Protocol), $"protocol {Protocol} must be V311 or V5");
        Require(Password is null || Username is not null, "a password needs a username");
        Require(CaFile is null || Tls, "a CA file needs mqtts://");
        Require(Rules.Count > 0, "must have at least one rule");
        Require(MaxInFlight is >= 1 and <= ushort.MaxValue, $"max in flight {MaxInFlight} must be 1 to {ushort.MaxValue}");
        Require(
            KeepAlive >= TimeSpan.FromSeconds(1) && KeepAlive <= TimeSpan.FromSeconds(ushort.MaxValue),
            $"keep alive {KeepAlive} must be 1 to {ushort.MaxValue} s");
    }

    private void Require(bool condition, string problem)
    {
        if (!condition)
            throw new SourceConfigurationException($"MQTT broker {Broker}: {problem}");
    }
}
