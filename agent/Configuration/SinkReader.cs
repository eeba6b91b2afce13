using EdgeStream.Devices.Gpio;
using EdgeStream.Devices.Mqtt;

namespace EdgeStream.Agent.Configuration;

/// <summary>Reads <c>[[sink.gpio]]</c> and <c>[[sink.mqtt]]</c>.</summary>
internal static class SinkReader
{
    private static readonly Dictionary<string, bool> Levels = new() { ["on"] = true, ["off"] = false };

    private static readonly Dictionary<string, GpioAtStop> StopStates =
        Enum.GetValues<GpioAtStop>().ToDictionary(state => state.ToString().ToLowerInvariant());

    public static GpioSinkConfiguration ReadGpio(TomlSection section)
    {
        string? chip = GpioReader.ReadChip(section);
        return ConfigurationReader.Checked(section, "line", () =>
        {
            var configuration = new GpioSinkConfiguration(
                chip,
                new GpioSinkOptions
                {
                    Line = GpioReader.ReadLine(section),
                    Topic = ConfigurationReader.Topic(section, "topic"),
                    Key = section.String("key"),
                    ActiveLow = section.Bool("active-low") ?? false,
                    Initial = section.Choice("initial", Levels) ?? false,
                    Pulse = section.Time("pulse"),
                    AtStop = section.Choice("at-stop", StopStates),
                }.Validated());
            section.Done();
            return configuration;
        });
    }

    public static MqttSinkOptions ReadMqtt(TomlSection section)
    {
        Uri broker = ConfigurationReader.ReadBroker(section);
        return ConfigurationReader.Checked(section, "broker", () =>
        {
            string topic = ConfigurationReader.Topic(section, "topic");
            var options = new MqttSinkOptions
            {
                Broker = broker,
                ClientId = section.String("client-id") ?? $"edgestream-{Environment.MachineName}-{topic}",
                Protocol = section.Choice("protocol", ConfigurationReader.Protocols) ?? MqttProtocol.V5,
                Username = section.String("username"),
                Password = section.String("password"),
                CaFile = section.String("ca-file"),
                Topic = topic,
                Publish = section.RequiredString("publish"),
                Qos = section.Int("qos", 0, 2) ?? 1,
                Retain = section.Bool("retain") ?? false,
            };
            options.Validate();
            section.Done();
            return options;
        });
    }
}
