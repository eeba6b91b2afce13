using System.Net;
using EdgeStream.Devices.Mqtt;

namespace EdgeStream.Agent.Configuration;

/// <summary>Reads what is about MQTT: <c>[[source.mqtt]]</c>, <c>[[source.mqtt-broker]]</c> and <c>[[sink.mqtt]]</c>.</summary>
internal static class MqttReader
{
    internal const string Embedded = "embedded";

    private static readonly Dictionary<string, MqttProtocol> Protocols =
        new() { ["5"] = MqttProtocol.V5, ["3.1.1"] = MqttProtocol.V311 };

    private static readonly Dictionary<string, bool> Retained = new() { ["store"] = true, ["ignore"] = false };

    private static readonly Dictionary<string, MqttTimestampFormat> TimestampFormats = new()
    {
        ["auto"] = MqttTimestampFormat.Auto,
        ["s"] = MqttTimestampFormat.Seconds,
        ["ms"] = MqttTimestampFormat.Milliseconds,
        ["us"] = MqttTimestampFormat.Microseconds,
        ["ns"] = MqttTimestampFormat.Nanoseconds,
        ["iso8601"] = MqttTimestampFormat.Iso8601,
    };

    public static MqttSourceOptions ReadSource(TomlSection section) => ConfigurationReader.Checked(section, "broker", () =>
    {
        var options = new MqttSourceOptions
        {
            Broker = ReadUrl(section),
            ClientId = section.String("client-id") ?? $"edgestream-{Environment.MachineName}",
            Rules = ReadRules(section),
            MaxPayloadBytes = ReadMaxMessage(section) ?? 1024 * 1024,
            StoreRetained = section.Choice("retained", Retained) ?? true,
            StatusTopic = section.String("status-topic"),
            RateLimit = section.RateLimit("rate-limit"),
        };
        options = ReadClient(section, options);
        options.Validate();
        section.Done();
        return options;
    });

    public static EmbeddedBrokerOptions ReadBroker(TomlSection section) => ConfigurationReader.Checked(section, "listen", () =>
    {
        Dictionary<string, string> users = [];
        if (section.String("username") is { } user)
            users[user] = section.RequiredString("password");

        var options = new EmbeddedBrokerOptions
        {
            Listen = section.String("listen") == "none" ? null : ReadEndpoint(section, "listen") ?? new IPEndPoint(IPAddress.Loopback, 1883),
            TlsListen = ReadEndpoint(section, "tls-listen"),
            CertFile = section.String("cert-file"),
            KeyFile = section.String("key-file"),
            ClientCaFile = section.String("client-ca-file"),
            Rules = ReadRules(section),
            Users = new ValueDictionary<string, string>(users),
            MaxPayloadBytes = ReadMaxMessage(section) ?? 1024 * 1024,
            MaxWaitingBytes = section.Bytes("max-waiting"),
            MaxConnections = section.Int("max-connections", 1, 10_000) ?? 200,
            RateLimit = section.RateLimit("rate-limit"),
        };
        options.Validate();
        section.Done();
        return options;
    });

    public static MqttSinkOptions ReadSink(TomlSection section) => ConfigurationReader.Checked(section, "broker", () =>
    {
        Uri broker = ReadUrl(section);
        string topic = ConfigurationReader.Topic(section, "topic");
        var options = new MqttSinkOptions
        {
            Broker = broker,
            ClientId = section.String("client-id") ?? $"edgestream-{Environment.MachineName}-{topic}",
            Topic = topic,
            Publish = section.RequiredString("publish"),
            Qos = section.Int("qos", 0, 2) ?? 1,
            Retain = section.Bool("retain") ?? false,
        };
        options = ReadClient(section, options);
        options.Validate();
        section.Done();
        return options;
    });

    /// <summary>Whether it publishes at the node's own broker.</summary>
    public static bool IsEmbedded(TomlSection section) => section.IsString("broker") && section.String("broker") == Embedded;

    public static MqttPublication ReadEmbeddedSink(TomlSection section) => ConfigurationReader.Checked(section, "publish", () =>
    {
        var publication = new MqttPublication
        {
            Topic = ConfigurationReader.Topic(section, "topic"),
            Publish = section.RequiredString("publish"),
            Qos = section.Int("qos", 0, 2) ?? 1,
            Retain = section.Bool("retain") ?? false,
        };
        publication.Validate();
        section.Done();
        return publication;
    });

    /// <summary>Records must not come back to the topic that they were published from. At the node's own broker they cannot.</summary>
    public static void CheckLoops(ConfigurationPlaces places, AgentConfiguration configuration)
    {
        MqttSinkOptions[] sinks = [.. configuration.AllMqttSinks];
        if (MqttLoops.Find(sinks, configuration.MqttSources) is var (topic, publish))
        {
            throw places.Error(
                sinks.First(sink => sink.Publish == publish), "publish",
                $"what is published as '{publish}' would come back to topic '{topic}' by a source, without end; publish elsewhere, or narrow the source's filter");
        }
    }

    /// <summary>To be called when all files are read: the broker may stand in another.</summary>
    public static void CheckEmbedded(ConfigurationPlaces places, AgentConfiguration configuration)
    {
        object? wanting = configuration.EmbeddedSinks.Count > 0 ? configuration.EmbeddedSinks[^1]
            : configuration.HomeAssistant is { Broker: null } home ? home
            : null;
        if (wanting is not null && configuration.MqttBrokers.Count != 1)
            throw places.Error(wanting, "broker", $"\"embedded\" needs one [[source.mqtt-broker]], and there are {configuration.MqttBrokers.Count}");

        foreach (EmbeddedBrokerOptions broker in configuration.MqttBrokers)
        {
            // As a client of its own broker it would store its records again.
            if (configuration.MqttSources.FirstOrDefault(IsHere) is { } source)
            {
                throw places.Error(
                    source, "broker", $"{source.Broker} is this node's own broker, which stores by the rules of [[source.mqtt-broker]]; leave the source out");
            }

            if (configuration.AllMqttSinks.FirstOrDefault(IsHere) is { } sink)
                throw places.Error(sink, "broker", $"{sink.Broker} is this node's own broker; write broker = \"embedded\"");

            bool IsHere(MqttBrokerOptions client) => client.IsAt(broker.Listen) || client.IsAt(broker.TlsListen);
        }
    }

    /// <summary>What all that connect to a broker have in common.</summary>
    internal static T ReadClient<T>(TomlSection section, T options)
        where T : MqttBrokerOptions => options with
        {
            Protocol = section.Choice("protocol", Protocols) ?? MqttProtocol.V5,
            Username = section.String("username"),
            Password = section.String("password"),
            CaFile = section.String("ca-file"),
            CertFile = section.String("cert-file"),
            KeyFile = section.String("key-file"),
        };

    internal static Uri ReadUrl(TomlSection section)
    {
        string url = section.RequiredString("broker");
        return Uri.TryCreate(url, UriKind.Absolute, out Uri? broker) && broker.Scheme is "mqtt" or "mqtts"
            ? broker
            : throw section.Error("broker", $"'{url}' is no broker; write mqtt://host:1883 or mqtts://host:8883");
    }

    private static IPEndPoint? ReadEndpoint(TomlSection section, string key)
    {
        if (section.String(key) is not { } listen)
            return null;

        return IPEndPoint.TryParse(listen, out IPEndPoint? endpoint) && listen.Contains(':', StringComparison.Ordinal)
            ? endpoint
            : throw section.Error(key, $"'{listen}' is no address; write for instance \"0.0.0.0:1883\"");
    }

    private static int? ReadMaxMessage(TomlSection section) => section.Bytes("max-message") switch
    {
        null => null,
        <= 128 * 1024 * 1024 and long bytes => (int)bytes,
        _ => throw section.Error("max-message", "is more than 128MiB"),
    };

    private static ValueList<MqttTopicRule> ReadRules(TomlSection section)
    {
        List<MqttTopicRule> rules = [.. section.Sections("subscribe").Select(rule => ConfigurationReader.Checked(rule, "filter", () => ReadRule(rule)))];
        return rules.Count > 0 ? new ValueList<MqttTopicRule>(rules) : throw section.Error("subscribe", "is missing: which topics, and where they go");
    }

    private static MqttTopicRule ReadRule(TomlSection section)
    {
        TomlSection? headers = section.Section("headers");
        var rule = new MqttTopicRule(section.RequiredString("filter"), section.RequiredString("topic"), section.String("key"))
        {
            Timestamp = section.String("timestamp"),
            TimestampFormat = section.Choice("timestamp-format", TimestampFormats) ?? MqttTimestampFormat.Auto,
            Headers = headers?.Strings() ?? [],
            UserProperties = section.Bool("user-properties") ?? true,
            Sparkplug = section.Bool("sparkplug") ?? false,
        };
        if (rule.TopicName is { } topic)
            ConfigurationReader.CheckTopic(section, "topic", topic);

        if (rule.Timestamp is null && rule.TimestampFormat != MqttTimestampFormat.Auto)
            throw section.Error("timestamp-format", "is for a timestamp, and there is none; write for instance timestamp = \"{json:ts}\"");

        section.Done();
        return rule;
    }
}
