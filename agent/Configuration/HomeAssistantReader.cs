using EdgeStream.Devices.Mqtt;

namespace EdgeStream.Agent.Configuration;

/// <summary>Reads <c>[home-assistant]</c>.</summary>
internal static class HomeAssistantReader
{
    public static HomeAssistantOptions Read(TomlSection section) => ConfigurationReader.Checked(section, "broker", () =>
    {
        string node = section.String("node") ?? Environment.MachineName;
        HomeAssistantBroker? broker = null;
        if (!MqttReader.IsEmbedded(section))
        {
            broker = MqttReader.ReadClient(section, new HomeAssistantBroker
            {
                Broker = MqttReader.ReadUrl(section),
                ClientId = section.String("client-id") ?? $"edgestream-{node}-home-assistant",
            });
        }

        var options = new HomeAssistantOptions
        {
            Broker = broker,
            Node = node,
            Prefix = section.String("prefix") ?? "homeassistant",
            Sensors = new ValueList<HomeAssistantSensor>([.. section.Sections("sensors").Select(ReadSensor)]),
        };
        options.Validate();
        section.Done();
        return options;
    });

    private static HomeAssistantSensor ReadSensor(TomlSection section)
    {
        var sensor = new HomeAssistantSensor(ConfigurationReader.Topic(section, "topic"), section.String("key"))
        {
            Name = section.String("name"),
            Unit = section.String("unit"),
            DeviceClass = section.String("device-class"),
            ValueTemplate = section.String("value-template"),
        };
        section.Done();
        return sensor;
    }
}
