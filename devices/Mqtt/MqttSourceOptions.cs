namespace EdgeStream.Devices.Mqtt;

/// <summary>A broker to take messages from. Under the client id it keeps what was not acknowledged.</summary>
public sealed record MqttSourceOptions : MqttBrokerOptions
{
    public required IReadOnlyList<MqttTopicRule> Rules { get; init; }

    /// <summary>Messages taken but not durable and acknowledged yet, 1 to 65535; in MQTT 5 the broker is told (receive maximum).</summary>
    public int MaxInFlight { get; init; } = 512;

    /// <summary>How many records it may bring; the broker keeps the others back. Null for any number.</summary>
    public RateLimit? RateLimit { get; init; }

    /// <inheritdoc/>
    public override void Validate()
    {
        base.Validate();
        Require(Rules.Count > 0, "must have at least one rule");
        Require(MaxInFlight is >= 1 and <= ushort.MaxValue, $"max in flight {MaxInFlight} must be 1 to {ushort.MaxValue}");
    }
}
