using System.Text.RegularExpressions;

namespace EdgeStream.Devices.Mqtt;

/// <summary>The broker that Home Assistant listens at.</summary>
public sealed record HomeAssistantBroker : MqttBrokerOptions;

/// <summary>A topic that appears in Home Assistant as a sensor.</summary>
/// <param name="Topic">The EdgeStream topic.</param>
/// <param name="Key">Only records with this key; null for all.</param>
public sealed record HomeAssistantSensor(string Topic, string? Key)
{
    /// <summary>What people see; null is topic and key.</summary>
    public string? Name { get; init; }

    public string? Unit { get; init; }

    /// <summary>One of Home Assistant's, such as <c>temperature</c>.</summary>
    public string? DeviceClass { get; init; }

    /// <summary>Takes the value out of a payload that is more than it, such as <c>{{ value_json.t }}</c>.</summary>
    public string? ValueTemplate { get; init; }
}

/// <summary>How this node appears in Home Assistant.</summary>
public sealed partial record HomeAssistantOptions
{
    /// <summary>Null is the node's own broker.</summary>
    public HomeAssistantBroker? Broker { get; init; }

    /// <summary>This node's name there, among others: letters, digits, <c>_</c> and <c>-</c>.</summary>
    public required string Node { get; init; }

    /// <summary>Where Home Assistant looks for what there is.</summary>
    public string Prefix { get; init; } = "homeassistant";

    public IReadOnlyList<HomeAssistantSensor> Sensors { get; init; } = [];

    /// <summary>The sinks that bring the sensors' values to <see cref="Broker"/>.</summary>
    public IReadOnlyList<MqttSinkOptions> Sinks => Broker is null ? [] : [.. Publications().Select((publication, index) => new MqttSinkOptions
    {
        Broker = Broker.Broker,
        ClientId = $"{Broker.ClientId}-{index}",
        Protocol = Broker.Protocol,
        Username = Broker.Username,
        Password = Broker.Password,
        CaFile = Broker.CaFile,
        CertFile = Broker.CertFile,
        KeyFile = Broker.KeyFile,
        Topic = publication.Topic,
        Publish = publication.Publish,
        Retain = true,
    })];

    /// <summary>The same for the node's own broker.</summary>
    public IReadOnlyList<MqttPublication> EmbeddedSinks => Broker is null ? [.. Publications()] : [];

    /// <summary>What all that this node says of itself begins with.</summary>
    internal string BaseTopic => $"edgestream/{Node}";

    /// <exception cref="SourceConfigurationException">Something is missing or out of range.</exception>
    public void Validate()
    {
        Broker?.Validate();
        if (!Plain().IsMatch(Node))
            throw new SourceConfigurationException($"node '{Node}' must be of letters, digits, _ and -");

        if (Prefix.Length == 0 || Prefix.AsSpan().ContainsAny('+', '#', '\0'))
            throw new SourceConfigurationException($"prefix '{Prefix}' must not be empty and have neither + nor #");

        foreach (HomeAssistantSensor sensor in Sensors)
        {
            if (sensor.Key is "" || sensor.Key.AsSpan().ContainsAny('+', '#', '\0'))
                throw new SourceConfigurationException($"key '{sensor.Key}' must not be empty and have neither + nor #");
        }
    }

    /// <summary>The MQTT topic with a sensor's values.</summary>
    internal string StateTopicOf(HomeAssistantSensor sensor) =>
        sensor.Key is null ? $"{BaseTopic}/all/{sensor.Topic}" : $"{BaseTopic}/by-key/{sensor.Topic}/{sensor.Key}";

    private IEnumerable<MqttPublication> Publications() => Sensors
        .Select(sensor => (sensor.Topic, HasKey: sensor.Key is not null))
        .Distinct()
        .Select(topic => new MqttPublication
        {
            Topic = topic.Topic,
            Publish = topic.HasKey ? $"{BaseTopic}/by-key/{{topic}}/{{key}}" : $"{BaseTopic}/all/{{topic}}",
            Retain = true,
        });

    [GeneratedRegex("^[A-Za-z0-9_-]+$")]
    private static partial Regex Plain();
}
