using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Topology;
using EdgeStream.Devices;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using EdgeStream.Storage.Retention;

namespace EdgeStream.Agent.Configuration;

/// <summary>
/// Reads one configuration file. To add a setting: ask the section for its key here, keep the value in the options record it
/// belongs to, and describe it in README's table.
/// </summary>
internal static class ConfigurationReader
{
    private static readonly Dictionary<string, CompressionCodec> Codecs =
        Enum.GetValues<CompressionCodec>().ToDictionary(codec => codec.ToString().ToLowerInvariant());

    private static readonly Dictionary<string, OverflowPolicy> Overflows =
        new() { ["drop-oldest"] = OverflowPolicy.DropOldest, ["reject"] = OverflowPolicy.Reject };

    // A keep-alive that came more often would be traffic of its own.
    private static readonly TimeSpan MinKeepAlive = TimeSpan.FromSeconds(1);

    // In bytes a second.
    private const long MinBandwidth = 1000;

    private static readonly Dictionary<string, MirrorRule> MirrorRules =
        Enum.GetValues<MirrorRule>().ToDictionary(rule => rule.ToString().ToLowerInvariant());

    /// <param name="file">Its name, for messages.</param>
    /// <param name="text">Its contents.</param>
    /// <param name="places">Told where each part stands, where others are to be compared with them.</param>
    /// <exception cref="ConfigurationException">Something in it is wrong.</exception>
    public static AgentConfiguration Read(string file, string text, ConfigurationPlaces? places = null)
    {
        places ??= new ConfigurationPlaces();
        places.NextFile();
        TomlSection root = TomlSection.Parse(file, text);
        (long? budget, JetStreamOptions? jetStream) = root.Section("storage") is { } storage ? StorageReader.Read(storage) : default;
        TomlSection? sources = root.Section("source"), sinks = root.Section("sink");
        IReadOnlyList<TomlSection> mqttSinks = sinks?.Sections("mqtt") ?? [];
        var configuration = new AgentConfiguration
        {
            Data = root.String("data"),
            Socket = root.String("socket"),
            Budget = budget,
            JetStream = jetStream,
            Cluster = root.Section("cluster") is { } cluster ? ClusterReader.Read(cluster) : null,
            Http = root.Section("http") is { } http ? ReadHttp(http) : null,
            Topics = [.. root.Sections("topic").Select(places.Noting(ReadTopic))],
            MqttSources = [.. sources?.Sections("mqtt").Select(places.Noting(MqttReader.ReadSource)) ?? []],
            MqttBrokers = [.. sources?.Sections("mqtt-broker").Select(places.Noting(MqttReader.ReadBroker)) ?? []],
            GpioLines = [.. sources?.Sections("gpio").Select(places.Noting(SourceReader.ReadGpio)) ?? []],
            SysfsSources = [.. sources?.Sections("sysfs").Select(places.Noting(SourceReader.ReadSysfs)) ?? []],
            Commands = [.. sources?.Sections("command").Select(places.Noting(SourceReader.ReadCommand)) ?? []],
            GpioSinks = [.. sinks?.Sections("gpio").Select(places.Noting(SinkReader.ReadGpio)) ?? []],
            MqttSinks = [.. mqttSinks.Where(sink => !MqttReader.IsEmbedded(sink)).Select(places.Noting(MqttReader.ReadSink))],
            EmbeddedSinks = [.. mqttSinks.Where(MqttReader.IsEmbedded).Select(places.Noting(MqttReader.ReadEmbeddedSink))],
            HomeAssistant = root.Section("home-assistant") is { } home ? places.Noting(HomeAssistantReader.Read)(home) : null,
            Uplink = root.Section("uplink") is { } uplink ? ReadUplink(uplink) : new UplinkOptions(),
        };
        sources?.Done();
        sinks?.Done();
        root.Done();
        CheckAsAWhole(places, configuration);
        return configuration with { Uplink = WithPriorities(configuration.Uplink, configuration.Topics) };
    }

    internal static UplinkOptions WithPriorities(UplinkOptions uplink, IEnumerable<TopicConfiguration> topics) => uplink with
    {
        Priorities = new ValueDictionary<string, int>(topics
            .DistinctBy(topic => topic.Name)
            .ToDictionary(topic => topic.Name, topic => topic.Priority)),
    };

    /// <summary>What the parts must not have in common.</summary>
    internal static void CheckAsAWhole(ConfigurationPlaces places, AgentConfiguration configuration)
    {
        CheckTwice(places, "name", configuration.Topics, topic => $"topic '{topic.Name}'");
        CheckTwice(places, "path", configuration.SysfsSources, source => $"'{source.Path}' for topic '{source.Topic}'");
        CheckTwice(places, "command", configuration.Commands, source => $"'{string.Join(' ', source.Command)}' for topic '{source.Topic}'");
        CheckClientIds(places, "source", configuration.MqttSources);
        CheckClientIds(places, "sink", configuration.MqttSinks);
        foreach (MqttSinkOptions sink in configuration.MqttSinks)
        {
            if (configuration.MqttSources.FirstOrDefault(source => (source.Authority, source.ClientId) == (sink.Authority, sink.ClientId)) is { } same)
            {
                throw places.Error(
                    places.InOrder<MqttBrokerOptions>([sink, same]).Last(), "client-id",
                    $"a source and a sink connect to {sink.Authority} as '{sink.ClientId}'; give each its own");
            }
        }

        GpioReader.CheckLines(places, configuration);
        MqttReader.CheckLoops(places, configuration);
    }

    private static void CheckTwice<T>(ConfigurationPlaces places, string key, IEnumerable<T> parts, Func<T, string> nameOf)
        where T : class
    {
        foreach (IGrouping<string, T> same in parts.GroupBy(nameOf))
        {
            if (same.Count() > 1)
            {
                throw places.Error(
                    same.Last(), key, $"{same.Key} is there {same.Count()} times, first in {places.Of(same.First(), key)}; once is enough");
            }
        }
    }

    /// <summary>A broker lets one connection in under a client id: two would throw each other out for ever.</summary>
    private static void CheckClientIds(ConfigurationPlaces places, string kind, IEnumerable<MqttBrokerOptions> clients)
    {
        foreach (IGrouping<(string Broker, string ClientId), MqttBrokerOptions> same in clients.GroupBy(client => (client.Authority, client.ClientId)))
        {
            if (same.Count() > 1)
            {
                throw places.Error(
                    same.Last(), "client-id",
                    $"{same.Count()} {kind}s connect to {same.Key.Broker} as '{same.Key.ClientId}', the first in {places.Of(same.First(), "client-id")}; give each its own");
            }
        }
    }

    private static TopicConfiguration ReadTopic(TomlSection section)
    {
        string name = Topic(section, "name");
        TomlSection? retention = section.Section("retention");
        var topic = new TopicConfiguration(
            name,
            section.Int("partitions", 1, 1000) ?? 1,
            new TopicSettings(
                section.Bool("mirror") ?? false,
                section.Choice("compression", Codecs) ?? CompressionCodec.None)
            {
                RetentionBytes = retention?.Bytes("bytes"),
                RetentionAge = retention?.Time("age"),
                Overflow = section.Choice("overflow", Overflows) ?? OverflowPolicy.DropOldest,
                Sync = section.Sync("sync") ?? SyncPolicy.Commit,
            },
            section.Int("priority", 0, 9) ?? 0,
            section.Bool("live") ?? false);
        retention?.Done();
        if (topic.IsLive && !topic.Settings.Mirror)
            throw section.Error("live", "is for mirror topics: their latest values go to the hub ahead of a backlog");

        if (topic.Settings.Mirror && topic.Partitions > 1)
            throw section.Error("partitions", "a mirror topic at an edge has one partition");

        try
        {
            TopicLimits.Check(topic.Settings);
        }
        catch (EdgeStreamException problem)
        {
            throw section.Error("retention", problem.Message);
        }

        section.Done();
        return topic;
    }

    private static HttpListen ReadHttp(TomlSection section)
    {
        string text = section.RequiredString("listen");
        if (!HttpListen.TryParse(text, out HttpListen? listen))
            throw section.Error("listen", $"'{text}' is no address to listen on; {HttpListen.Example}");

        section.Done();
        return listen;
    }

    private static UplinkOptions ReadUplink(TomlSection section)
    {
        var defaults = new UplinkOptions();
        var options = defaults with
        {
            ProgressTimeout = section.Time("progress-timeout") ?? defaults.ProgressTimeout,
            MaxBackoff = section.Time("max-backoff") ?? defaults.MaxBackoff,
            KeepAlive = section.Time("keep-alive") ?? defaults.KeepAlive,
            Linger = section.Time("linger") ?? defaults.Linger,
            BytesPerSecond = section.Rate("bandwidth"),
            DataPlan = ReadDataPlan(section),
            Mirrored = section.Choice("mirrored", MirrorRules) ?? defaults.Mirrored,
        };
        if (options.KeepAlive < MinKeepAlive)
            throw section.Error("keep-alive", "is less than a second");

        if (options.BytesPerSecond < MinBandwidth)
            throw section.Error("bandwidth", $"is less than {8 * MinBandwidth / 1000} kbit/s, of which little more than headers could be sent");

        section.Done();
        return options;
    }

    private static DataPlanOptions ReadDataPlan(TomlSection section)
    {
        if (section.Bytes("data-budget") is not { } budget)
        {
            return section.String("free-hours") is null
                ? new DataPlanOptions()
                : throw section.Error("free-hours", "is for a data-budget, and there is none");
        }

        string hours = section.String("free-hours") ?? "00:00-00:00";
        return hours.Split('-') is [var from, var until]
            && TimeOnly.TryParseExact(from, "HH:mm", out TimeOnly freeFrom)
            && TimeOnly.TryParseExact(until, "HH:mm", out TimeOnly freeUntil)
            ? new DataPlanOptions(budget, freeFrom, freeUntil)
            : throw section.Error("free-hours", $"'{hours}' are no hours; write for instance \"01:00-05:00\"");
    }

    internal static string Topic(TomlSection section, string key) => CheckTopic(section, key, section.RequiredString(key));

    internal static string CheckTopic(TomlSection section, string key, string name)
    {
        try
        {
            return Names.CheckTopic(name);
        }
        catch (EdgeStreamException problem)
        {
            throw section.Error(key, problem.Message);
        }
    }

    /// <summary>What options say of themselves, with file and line in front.</summary>
    internal static T Checked<T>(TomlSection section, string key, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (SourceConfigurationException problem)
        {
            throw section.Error(key, problem.Message);
        }
    }
}
