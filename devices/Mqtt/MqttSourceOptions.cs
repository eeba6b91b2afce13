namespace EdgeStream.Devices.Mqtt;

/// <summary>A broker to take messages from. Under the client id it keeps what was not acknowledged.</summary>
public sealed record MqttSourceOptions : MqttBrokerOptions
{
    // A topic and what else stands in front of the payload.
    private const int MaxHeaderBytes = 128 * 1024;

    public required IReadOnlyList<MqttTopicRule> Rules { get; init; }

    /// <summary>
    /// Messages taken but not durable and acknowledged yet, 1 to 65535; in MQTT 5 the broker is told (receive maximum). A large message
    /// counts as several, one for each 64 KiB.
    /// </summary>
    public int MaxInFlight { get; init; } = 512;

    /// <summary>Larger payloads are not stored, and counted. In MQTT 5 the broker is told not to send them.</summary>
    public int MaxPayloadBytes { get; init; } = 1024 * 1024;

    /// <summary>Whether to store what the broker had kept from before the subscription (retained messages).</summary>
    public bool StoreRetained { get; init; } = true;

    /// <summary>
    /// Where the broker keeps <c>online</c> as long as this source is connected, and <c>offline</c> otherwise, by last will; null for
    /// nowhere.
    /// </summary>
    public string? StatusTopic { get; init; }

    /// <summary>How many records it may bring; the broker keeps the others back. Null for any number.</summary>
    public RateLimit? RateLimit { get; init; }

    /// <summary>The largest packet that a message of <see cref="MaxPayloadBytes"/> may come in.</summary>
    internal int MaxPacketBytes => MaxPayloadBytes + MaxHeaderBytes;

    /// <inheritdoc/>
    public override void Validate()
    {
        base.Validate();
        Require(Rules.Count > 0, "must have at least one rule");
        Require(MaxInFlight is >= 1 and <= ushort.MaxValue, $"max in flight {MaxInFlight} must be 1 to {ushort.MaxValue}");
        Require(MaxPayloadBytes is >= 1 and <= 128 * 1024 * 1024, $"max payload {MaxPayloadBytes} must be 1 byte to 128 MiB");
        Require(
            StatusTopic is null || (StatusTopic.Length > 0 && !StatusTopic.AsSpan().ContainsAny('+', '#', '\0')),
            $"status topic '{StatusTopic}' must not be empty and have neither + nor #");
    }
}
