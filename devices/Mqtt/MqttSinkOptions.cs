namespace EdgeStream.Devices.Mqtt;

/// <summary>A broker to publish records at.</summary>
public sealed record MqttSinkOptions : MqttBrokerOptions
{
    /// <summary>The EdgeStream topic.</summary>
    public required string Topic { get; init; }

    /// <summary>The MQTT topic; <c>{key}</c> and <c>{topic}</c> stand for the record's key and the EdgeStream topic.</summary>
    public required string Publish { get; init; }

    /// <summary>0, 1 or 2.</summary>
    public int Qos { get; init; } = 1;

    /// <summary>The broker keeps the message for those who subscribe later.</summary>
    public bool Retain { get; init; }

    /// <summary>What is published, wherever that is.</summary>
    public MqttPublication Publication => new() { Topic = Topic, Publish = Publish, Qos = Qos, Retain = Retain };

    /// <inheritdoc/>
    public override void Validate()
    {
        base.Validate();
        Publication.Validate();
    }
}
