using System.Net;
using EdgeStream.Devices.Commands;
using EdgeStream.Devices.Gpio;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Devices.Sysfs;

namespace EdgeStream.Agent.Configuration;

/// <summary>Reads <c>[[source.…]]</c>, a method for each kind.</summary>
internal static class SourceReader
{
    private static readonly Dictionary<string, GpioEdge> Edges =
        Enum.GetValues<GpioEdge>().ToDictionary(edge => edge.ToString().ToLowerInvariant());

    private static readonly Dictionary<string, GpioPull> Pulls =
        Enum.GetValues<GpioPull>().ToDictionary(pull => pull.ToString().ToLowerInvariant());

    public static MqttSourceOptions ReadMqtt(TomlSection section)
    {
        Uri broker = ConfigurationReader.ReadBroker(section);
        return ConfigurationReader.Checked(section, "broker", () =>
        {
            var options = new MqttSourceOptions
            {
                Broker = broker,
                ClientId = section.String("client-id") ?? $"edgestream-{Environment.MachineName}",
                Protocol = section.Choice("protocol", ConfigurationReader.Protocols) ?? MqttProtocol.V5,
                Username = section.String("username"),
                Password = section.String("password"),
                CaFile = section.String("ca-file"),
                Rules = ReadRules(section),
                RateLimit = section.RateLimit("rate-limit"),
            };
            options.Validate();
            section.Done();
            return options;
        });
    }

    public static EmbeddedBrokerOptions ReadMqttBroker(TomlSection section)
    {
        string listen = section.String("listen") ?? "127.0.0.1:1883";
        if (!IPEndPoint.TryParse(listen, out IPEndPoint? endpoint) || !listen.Contains(':', StringComparison.Ordinal))
            throw section.Error("listen", $"'{listen}' is no address; write for instance \"0.0.0.0:1883\"");

        return ConfigurationReader.Checked(section, "listen", () =>
        {
            Dictionary<string, string> users = [];
            if (section.String("username") is { } user)
                users[user] = section.RequiredString("password");

            var options = new EmbeddedBrokerOptions
            {
                Listen = endpoint,
                Rules = ReadRules(section),
                Users = new ValueDictionary<string, string>(users),
                RateLimit = section.RateLimit("rate-limit"),
            };
            options.Validate();
            section.Done();
            return options;
        });
    }

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

    private static ValueList<MqttTopicRule> ReadRules(TomlSection section)
    {
        List<MqttTopicRule> rules = [];
        foreach (TomlSection rule in section.Sections("subscribe"))
        {
            rules.Add(ConfigurationReader.Checked(rule, "filter", () =>
            {
                var read = new MqttTopicRule(rule.RequiredString("filter"), rule.RequiredString("topic"), rule.String("key"));
                if (read.TopicName is { } topic)
                    ConfigurationReader.CheckTopic(rule, "topic", topic);

                rule.Done();
                return read;
            }));
        }

        return rules.Count > 0 ? new ValueList<MqttTopicRule>(rules) : throw section.Error("subscribe", "is missing: which topics, and where they go");
    }
}
