using EdgeStream.Devices.Gpio;

namespace EdgeStream.Agent.Configuration;

/// <summary>Reads <c>[[sink.gpio]]</c>.</summary>
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
}
