namespace EdgeStream.Devices.Mqtt;

public enum MqttProtocol
{
    V5,
    V311,
}

/// <summary>A broker, and what is taken from it.</summary>
public sealed record MqttSourceOptions
{
    /// <summary><c>mqtt://host:1883</c> or, with TLS, <c>mqtts://host:8883</c>; the ports are the defaults.</summary>
    public required Uri Broker { get; init; }

    /// <summary>
    /// Under which the broker keeps the session, and so the messages that come while this node is away. Two nodes with one
    /// client id throw each other out.
    /// </summary>
    public required string ClientId { get; init; }

    public required IReadOnlyList<MqttTopicRule> Rules { get; init; }

    public MqttProtocol Protocol { get; init; } = MqttProtocol.V5;

    public string? Username { get; init; }

    public string? Password { get; init; }

    /// <summary>With TLS: the CA (PEM) that must have signed the broker's certificate; the system's CAs where it is null.</summary>
    public string? CaFile { get; init; }

    /// <summary>
    /// Messages that wait for the log at most. With MQTT 5 the broker is told (receive maximum) and holds the others back; with
    /// 3.1.1 they wait in the connection.
    /// </summary>
    public int MaxInFlight { get; init; } = 512;

    /// <summary>How often the connection is tried while nothing passes.</summary>
    public TimeSpan KeepAlive { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The broker's port, written out or the usual one.</summary>
    public int Port => Broker.Port > 0 ? Broker.Port : Broker.Scheme == "mqtts" ? 8883 : 1883;

    /// <exception cref="SourceConfigurationException">A value is out of range.</exception>
    public MqttSourceOptions Validated()
    {
        if (Broker.Scheme is not ("mqtt" or "mqtts") || Broker.Host.Length == 0)
            throw new SourceConfigurationException($"'{Broker}' is no broker; write mqtt://host:1883 or mqtts://host:8883");

        if (ClientId.Length == 0)
            throw new SourceConfigurationException("a client id is needed: the broker keeps the session under it");

        if (Rules.Count == 0)
            throw new SourceConfigurationException("there is no topic to subscribe to");

        if (MaxInFlight is < 1 or > ushort.MaxValue)
            throw new SourceConfigurationException($"messages in flight are 1 to {ushort.MaxValue}, not {MaxInFlight}");

        return CaFile is not null && !File.Exists(CaFile)
            ? throw new SourceConfigurationException($"the CA file '{CaFile}' does not exist")
            : this;
    }
}
