namespace EdgeStream.Devices.Mqtt;

/// <summary>What to publish of which records, wherever the broker is.</summary>
public sealed record MqttPublication
{
    /// <summary>The EdgeStream topic.</summary>
    public required string Topic { get; init; }

    /// <summary>The MQTT topic; <c>{key}</c> and <c>{topic}</c> stand for the record's key and the EdgeStream topic.</summary>
    public required string Publish { get; init; }

    /// <summary>0, 1 or 2.</summary>
    public int Qos { get; init; } = 1;

    /// <summary>The broker keeps the message for those who subscribe later.</summary>
    public bool Retain { get; init; }

    /// <exception cref="SourceConfigurationException">Something is missing or out of range.</exception>
    public void Validate()
    {
        if (Qos is < 0 or > 2)
            throw new SourceConfigurationException($"qos {Qos} must be 0, 1 or 2");

        MqttPublishTopic.Parse(Publish);
    }
}
