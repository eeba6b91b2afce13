using EdgeStream.Devices.Commands;
using EdgeStream.Devices.Gpio;
using EdgeStream.Devices.Sysfs;

namespace EdgeStream.Agent.Configuration;

/// <summary>Reads <c>[[source.…]]</c>, a method for each kind but those of MQTT.</summary>
internal static class SourceReader
{
    private static readonly Dictionary<string, GpioEdge> Edges =
        Enum.GetValues<GpioEdge>().ToDictionary(edge => edge.ToString().ToLowerInvariant());

    private static readonly Dictionary<string, GpioPull> Pulls =
        Enum.GetValues<GpioPull>().ToDictionary(pull => pull.ToString().ToLowerInvariant());

    public static GpioConfiguration ReadGpio(TomlSection section)
    {
        string? chip = GpioReader.ReadChip(section);
        return ConfigurationReader.Checked(section, "line", () =>
        {
            TimeSpan? countEvery = section.Time("count-every");
            var configuration = new GpioConfiguration(
                chip,
                section.Time("simulated-period") ?? TimeSpan.FromSeconds(1),
                new GpioLineOptions
                {
                    Line = GpioReader.ReadLine(section),
                    Topic = ConfigurationReader.Topic(section, "topic"),
                    Key = section.String("key"),

                    // Each pulse has two edges; it is one all the same.
                    Edge = section.Choice("edge", Edges) ?? (countEvery is null ? GpioEdge.Both : GpioEdge.Rising),
                    Debounce = section.Time("debounce") ?? TimeSpan.Zero,
                    Poll = section.Time("poll"),
                    CountEvery = countEvery,
                    Pull = section.Choice("pull", Pulls) ?? GpioPull.None,
                    ActiveLow = section.Bool("active-low") ?? false,
                    RateLimit = section.RateLimit("rate-limit"),
                }.Validated());
            section.Done();
            return configuration;
        });
    }

    public static SysfsOptions ReadSysfs(TomlSection section) => ConfigurationReader.Checked(section, "path", () =>
    {
        var defaults = new SysfsOptions { Path = section.RequiredString("path"), Topic = ConfigurationReader.Topic(section, "topic") };
        SysfsOptions options = defaults with
        {
            Key = section.String("key"),
            Every = section.Time("every") ?? defaults.Every,
            Offset = section.Number("offset") ?? defaults.Offset,
            Scale = section.Number("scale") ?? defaults.Scale,
            Unit = section.String("unit"),
            Change = section.Number("change"),
            AtLeastEvery = section.Time("at-least-every"),
            RateLimit = section.RateLimit("rate-limit"),
        };
        section.Done();
        return options.Validated();
    });

    public static CommandOptions ReadCommand(TomlSection section) => ConfigurationReader.Checked(section, "command", () =>
    {
        var options = new CommandOptions
        {
            Command = new ValueList<string>([.. section.Strings("command")]),
            Topic = ConfigurationReader.Topic(section, "topic"),
            Key = section.String("key"),
            Every = section.Time("every"),
            RateLimit = section.RateLimit("rate-limit"),
        };
        section.Done();
        return options.Validated();
    });
}
