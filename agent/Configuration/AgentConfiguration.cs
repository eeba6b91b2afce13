using EdgeStream.Agent.Hosting.DataCenter;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Topology;
using EdgeStream.Devices.Commands;
using EdgeStream.Devices.Gpio;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Devices.Sysfs;
using EdgeStream.Mirror.Uplink;

namespace EdgeStream.Agent.Configuration;

/// <summary>A topic that the node makes at its start where it is missing.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Partitions">How many.</param>
/// <param name="Settings">What the cluster keeps of it.</param>
/// <param name="Priority">Which goes first where the link cannot carry all: the larger, the earlier.</param>
/// <param name="IsLive">Its latest values go to the hub ahead of a backlog.</param>
internal sealed record TopicConfiguration(string Name, int Partitions, TopicSettings Settings, int Priority = 0, bool IsLive = false);

/// <summary>A GPIO line and the chip that it is on.</summary>
/// <param name="Chip">Its name, path or label; null for a simulated one.</param>
/// <param name="SimulatedPeriod">How often a simulated chip's lines change.</param>
/// <param name="Line">The line.</param>
internal sealed record GpioConfiguration(string? Chip, TimeSpan SimulatedPeriod, GpioLineOptions Line);

/// <summary>An output line and the chip that it is on.</summary>
/// <param name="Chip">Its name, path or label; null for a simulated one.</param>
/// <param name="Line">The line.</param>
internal sealed record GpioSinkConfiguration(string? Chip, GpioSinkOptions Line);

/// <summary>An edge's configuration, checked: nothing in it can be refused any more for what it says.</summary>
internal sealed record AgentConfiguration
{
    /// <summary>What is wrong where <see cref="IsForEdge"/> is, and the node is one of a data center.</summary>
    public const string IsForEdgeProblem =
        "topics, sources, sinks and an uplink are for an edge; a node of a data center has data, socket, [http], [storage] and [cluster]";

    /// <summary>Where all state is kept; null leaves it to command line, environment and default.</summary>
    public string? Data { get; init; }

    public string? Socket { get; init; }

    /// <summary>How much disk the data directory may use, in bytes; null leaves it to the default.</summary>
    public long? Budget { get; init; }

    /// <summary>At a hub: the NATS servers that keep its partitions; null where the segment log does.</summary>
    public JetStreamOptions? JetStream { get; init; }

    /// <summary>Of an SC or an SPU: its place in a cluster; null where the file says nothing of one.</summary>
    public ClusterOptions? Cluster { get; init; }

    /// <summary>Where metrics and health are served; null leaves it to command line and default.</summary>
    public HttpListen? Http { get; init; }

    public IReadOnlyList<TopicConfiguration> Topics { get; init; } = [];

    public IReadOnlyList<MqttSourceOptions> MqttSources { get; init; } = [];

    public IReadOnlyList<EmbeddedBrokerOptions> MqttBrokers { get; init; } = [];

    public IReadOnlyList<GpioConfiguration> GpioLines { get; init; } = [];

    public IReadOnlyList<SysfsOptions> SysfsSources { get; init; } = [];

    public IReadOnlyList<CommandOptions> Commands { get; init; } = [];

    public IReadOnlyList<GpioSinkConfiguration> GpioSinks { get; init; } = [];

    public IReadOnlyList<MqttSinkOptions> MqttSinks { get; init; } = [];

    /// <summary>What is published at the node's own broker.</summary>
    public IReadOnlyList<MqttPublication> EmbeddedSinks { get; init; } = [];

    /// <summary>Null where Home Assistant is not told of this node.</summary>
    public HomeAssistantOptions? HomeAssistant { get; init; }

    public UplinkOptions Uplink { get; init; } = new();

    /// <summary>All sinks at brokers on the network, those for Home Assistant among them.</summary>
    public IEnumerable<MqttSinkOptions> AllMqttSinks => MqttSinks.Concat(HomeAssistant?.Sinks ?? []);

    /// <summary>All sinks at the node's own broker, those for Home Assistant among them.</summary>
    public IEnumerable<MqttPublication> AllEmbeddedSinks => EmbeddedSinks.Concat(HomeAssistant?.EmbeddedSinks ?? []);

    /// <summary>The topics whose latest values go ahead of a backlog.</summary>
    public IReadOnlySet<string> LiveTopics => Topics.Where(topic => topic.IsLive).Select(topic => topic.Name).ToHashSet(StringComparer.Ordinal);

    /// <summary>Whether it has something that only an edge has: topics of its own, sources, sinks, an uplink.</summary>
    public bool IsForEdge => Topics.Count > 0 || SourceTopics.Any() || GpioSinks.Count > 0 || AllMqttSinks.Any() || AllEmbeddedSinks.Any()
        || MqttBrokers.Count > 0 || HomeAssistant is not null || Uplink != ConfigurationReader.WithPriorities(new UplinkOptions(), []);

    /// <summary>The topics that sources write to.</summary>
    public IEnumerable<string> SourceTopics =>
        MqttTopicRule.TopicNames(MqttSources.SelectMany(source => source.Rules).Concat(MqttBrokers.SelectMany(broker => broker.Rules)))
            .Concat(GpioLines.Select(line => line.Line.Topic))
            .Concat(SysfsSources.Select(source => source.Topic))
            .Concat(Commands.Select(command => command.Topic))
            .Distinct();
}
