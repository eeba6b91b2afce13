using System.Net;

namespace EdgeStream.Devices.Mqtt;

public enum MqttProtocol
{
    V311,
    V5,
}

/// <summary>A broker to connect to as a client.</summary>
public abstract record MqttBrokerOptions
{
    private const int MqttPort = 1883;
    private const int MqttsPort = 8883;

    /// <summary><c>mqtt://host[:1883]</c>, or <c>mqtts://host[:8883]</c> for TLS.</summary>
    public required Uri Broker { get; init; }

    /// <summary>Names this client to the broker; must not change, and be used once.</summary>
    public required string ClientId { get; init; }

    public MqttProtocol Protocol { get; init; } = MqttProtocol.V5;

    public string? Username { get; init; }

    public string? Password { get; init; }

    /// <summary>PEM file of the authorities to trust instead of the system's; only with <c>mqtts://</c>.</summary>
    public string? CaFile { get; init; }

    /// <summary>PEM files of the certificate that this client shows, and of its key; only with <c>mqtts://</c>.</summary>
    public string? CertFile { get; init; }

    /// <inheritdoc cref="CertFile"/>
    public string? KeyFile { get; init; }

    public TimeSpan KeepAlive { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Host and port, the same for all names that this machine has for itself.</summary>
    public string Authority => $"{(IsThisMachine ? "localhost" : Broker.DnsSafeHost)}:{Port}";

    /// <summary>Whether it connects to a port of this machine.</summary>
    /// <param name="endpoint">Where something listens.</param>
    public bool IsAt(IPEndPoint? endpoint) => endpoint is { Port: > 0 } && endpoint.Port == Port
        && (IsThisMachine
            ? IPAddress.IsLoopback(endpoint.Address) || endpoint.Address.Equals(IPAddress.Any) || endpoint.Address.Equals(IPAddress.IPv6Any)
            : endpoint.Address.ToString() == Broker.DnsSafeHost);

    private bool IsThisMachine =>
        Broker.DnsSafeHost == "localhost" || (IPAddress.TryParse(Broker.DnsSafeHost, out IPAddress? address) && IPAddress.IsLoopback(address));

    internal bool Tls => Broker.Scheme == "mqtts";

    internal int Port => Broker.Port > 0 ? Broker.Port : Tls ? MqttsPort : MqttPort;

    /// <summary>The broker with its port, for messages.</summary>
    public string Address => $"{Broker.Scheme}://{Broker.Host}:{Port}";

    /// <exception cref="SourceConfigurationException">Something is missing or out of range.</exception>
    public virtual void Validate()
    {
        if (!Broker.IsAbsoluteUri || Broker.Scheme is not ("mqtt" or "mqtts") || Broker.Host.Length == 0)
            throw new SourceConfigurationException($"MQTT broker '{Broker}': must be mqtt://host[:port] or mqtts://host[:port]");

        if (Broker.UserInfo.Length > 0 || Broker.PathAndQuery is not ("" or "/"))
            throw new SourceConfigurationException($"MQTT broker {Broker.Scheme}://{Broker.Host}: must have neither user nor path");

        Require(ClientId.Length > 0, "client id must not be empty: the broker keeps the session by it");
        Require(Enum.IsDefined(Protocol), $"protocol {Protocol} must be V311 or V5");
        Require(Password is null || Username is not null, "a password needs a username");
        Require(CaFile is null || Tls, "a CA file needs mqtts://");
        Require(CertFile is null || Tls, "a certificate needs mqtts://");
        Require(CertFile is null == KeyFile is null, "a certificate needs its key, and the other way round");
        Require(
            KeepAlive >= TimeSpan.FromSeconds(1) && KeepAlive <= TimeSpan.FromSeconds(ushort.MaxValue),
            $"keep alive {KeepAlive} must be 1 to {ushort.MaxValue} s");
    }

    private protected void Require(bool condition, string problem)
    {
        if (!condition)
            throw new SourceConfigurationException($"MQTT broker {Broker}: {problem}");
    }
}
