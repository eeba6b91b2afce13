using EdgeStream.Devices.Gpio;

namespace EdgeStream.Agent.Configuration;

/// <summary>Reads <c>[[sink.gpio]]</c>.</summary>
internal static class SinkReader
{
    private static readonly Dictionary<string, bool> Levels = new() { ["on"] = true, ["off"] = false };

    public static GpioSinkConfiguration ReadGpio(TomlSection section)
    {
        int? chip = ConfigurationReader.ReadChip(section);
        return ConfigurationReader.Checked(section, "line", () =>
        {
            var configuration = new GpioSinkConfiguration(
                chip,
                new GpioSinkOptions
                {
                    Line = section.Int("line", 0, 1023) ?? throw section.Error("line", "is missing"),
                    Topic = ConfigurationReader.Topic(section, "topic"),
                    Key = section.String("key"),
                    ActiveLow = section.Bool("active-low") ?? false,
                    Initial = section.Choice("initial", Levels) ?? false,
                    Pulse = section.Time("pulse"),
                }.Validated());
            section.Done();
            return configuration;
        });
    }

    /// <summary>Two that drive one line would do so against each other.</summary>
    public static void CheckLines(string file, IEnumerable<GpioSinkConfiguration> sinks)
    {
        foreach (IGrouping<(int? Chip, int Line), GpioSinkConfiguration> same in sinks.GroupBy(sink => (sink.Chip, sink.Line.Line)))
        {
            if (same.Count() > 1)
            {
                throw new ConfigurationException(
                    $"{file}: sink.gpio.line: {same.Count()} sinks switch line {same.Key.Line} of one chip; a line has one");
            }
        }
    }
}
