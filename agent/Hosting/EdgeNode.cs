using EdgeStream.Agent.Configuration;
using EdgeStream.Agent.Hosting.Sinks;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Devices;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Mirror.Downlink;
using EdgeStream.Mirror.Live;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Storage;
using Microsoft.Extensions.Hosting.Systemd;

namespace EdgeStream.Agent.Hosting;

/// <summary>
/// A gateway: a cluster of one, with sources, an uplink and sinks. Stops in the order sources → what they brought is durable → uplink,
/// when it has sent that or a moment has passed → sinks → API → log.
/// </summary>
internal static class EdgeNode
{
    public static async Task RunAsync(
        string? configurationFile, string? data, string? socket, long? budget, HttpListen? http, CancellationToken cancellationToken)
    {
        StartConfiguration start = StartConfiguration.Load(configurationFile, data);
        AgentConfiguration configuration = start.Configuration;
        var options = new NodeOptions(
            NodePaths.Data(data, configuration.Data),
            NodePaths.Socket(socket, configuration.Socket),
            Budget: budget ?? configuration.Budget,
            Http: http ?? configuration.Http);
        using ILoggerFactory loggers = NodeLogging.CreateFactory();
        ILogger<Node> logger = loggers.CreateLogger<Node>();
        await using OneProcessNode node = await OneProcessNode.OpenAsync(options, isHub: false, loggers).ConfigureAwait(false);
        string? problem = await CreateTopicsAsync(node, configuration, logger).ConfigureAwait(false);
        problem = start.Problem ?? problem;
        if (problem is not null)
            logger.LogError("{Problem}", problem);

        await using var sink = new LogRecordSink(node.Controller, TimeProvider.System, loggers.CreateLogger<LogRecordSink>());
        var files = new DeviceFiles(node.Storage.Files, node.Data.Path, loggers.CreateLogger<DeviceFiles>());
        await using var sources = new DeviceSet("source", TimeProvider.System, loggers.CreateLogger<SourceSupervisor>());
        var hubClock = new HubClock(TimeProvider.System);
        var downlink = new DownlinkLane(node.Controller, hubClock, TimeProvider.System, loggers.CreateLogger<DownlinkLane>());
        IUplinkLane[] lanes =
        [
            downlink,
            new RenewalLane(RenewalLane.DefaultLongest, TimeProvider.System),
            new LiveLane(node.Controller, configuration.LiveTopics, TimeProvider.System),
        ];
        await using var uplinks = new UplinkHost(node.Data, node.Controller, configuration.Uplink, lanes, TimeProvider.System, loggers);
        await using SinkPositions positions = SinkPositions.Open(
            node.Storage.Files, node.Data.Path, TimeProvider.System, loggers.CreateLogger<SinkPositions>());
        var feed = new LogRecordFeed(node.Controller, hubClock, positions, loggers.CreateLogger<LogRecordFeed>());
        await using var sinks = new DeviceSet("sink", TimeProvider.System, loggers.CreateLogger<SourceSupervisor>());
        AgentService? agent = null;
        var lastGood = new LastGoodConfiguration(node.Data.Path, logger);
        using var reload = new ConfigurationReload(configurationFile, problem, ReloadAsync, lastGood.Keep, logger);

        var authenticator = new NoAuthenticator();
        WebApplicationBuilder builder = node.CreateApplication(authenticator);
        agent = new AgentService(node, TimeProvider.System, uplinks, sources, sink, sinks: sinks, reload: reload);
        builder.Services.AddSingleton(agent);
        builder.Services.AddSingleton(hubClock);
        await using WebApplication application = builder.Build();
        application.MapGrpcService<ControlPlaneService>();
        application.MapGrpcService<DataPlaneService>();
        application.MapGrpcService<ConsumerGroupsService>();
        application.MapGrpcService<AgentService>();
        reload.Notifier = application.Services.GetService<ISystemdNotifier>();
        await node.ServeAsync(application, StartAsync, StopAsync, cancellationToken).ConfigureAwait(false);

        async Task StartAsync()
        {
            await ReplaceDevicesAsync(configuration).ConfigureAwait(false);
            await uplinks.StartAsync().ConfigureAwait(false);
            if (problem is null)
                lastGood.Keep(start.Files);
        }

        async Task<string> ReplaceDevicesAsync(AgentConfiguration wanted)
        {
            (int stopped, int started) = await sources.ReplaceAsync(SourceFactory.Create(wanted, sink, files, loggers)).ConfigureAwait(false);
            EmbeddedBroker? broker = sources.Devices.OfType<EmbeddedBroker>().FirstOrDefault();
            (int stoppedSinks, int startedSinks) = await sinks
                .ReplaceAsync(
                    [.. SinkFactory.Create(wanted, feed, broker, loggers), .. HomeAssistantFactory.Create(wanted, broker, () => agent!.Status(), files, loggers)],
                    all => feed.Begin(all.OfType<ISink>()))
                .ConfigureAwait(false);
            return $"of the sources and sinks {stopped + stoppedSinks} stopped, {started + startedSinks} started";
        }

        async Task<string> ReloadAsync(AgentConfiguration wanted)
        {
            StartConfiguration.CheckIsForEdge(wanted);
            if (await CreateTopicsAsync(node, wanted, logger).ConfigureAwait(false) is { } refused)
                throw new ConfigurationException(refused);

            string changes = await ReplaceDevicesAsync(wanted).ConfigureAwait(false);
            bool restart = WhatCountsFromTheStart(wanted) != WhatCountsFromTheStart(configuration);
            return restart ? $"{changes}; what else has changed counts from the next start" : changes;
        }

        async Task StopAsync()
        {
            await sources.DisposeAsync().ConfigureAwait(false);
            await sink.DisposeAsync().ConfigureAwait(false);
            node.Stopped("sources");
            await uplinks.FinishAsync().ConfigureAwait(false);
            await uplinks.DisposeAsync().ConfigureAwait(false);
            node.Stopped("uplinks");
            await sinks.DisposeAsync().ConfigureAwait(false);
            node.Stopped("sinks");
        }
    }

    /// <summary>What a reload leaves alone.</summary>
    private static (string?, string?, long?, HttpListen?, UplinkOptions, string) WhatCountsFromTheStart(AgentConfiguration configuration) => (
        configuration.Data, configuration.Socket, configuration.Budget, configuration.Http,
        ConfigurationReader.WithPriorities(configuration.Uplink, configuration.Topics.Where(topic => topic.Priority != 0)),
        string.Join(' ', configuration.LiveTopics.Order(StringComparer.Ordinal)));

    /// <summary>What is configured counts, as far as it can be changed.</summary>
    private static async Task AlterTopicAsync(OneProcessNode node, TopicInfo known, TopicConfiguration topic, ILogger logger)
    {
        if (known.Settings.Mirror != topic.Settings.Mirror || known.Partitions.Length != topic.Partitions)
            logger.LogWarning("topic {Topic} exists with another mirror setting or number of partitions than configured; they stay as they are", topic.Name);

        if (known.Settings == topic.Settings with
        {
            Mirror = known.Settings.Mirror,
            AtEveryEdge = known.Settings.AtEveryEdge,
            Down = known.Settings.Down,
            TimeToLive = known.Settings.TimeToLive,
        })
        {
            return;
        }

        try
        {
            await node.Controller.AlterTopicAsync(topic.Name, _ => topic.Settings).ConfigureAwait(false);
        }
        catch (ClusterException refused)
        {
            logger.LogError("topic {Topic} keeps its settings: {Problem}", topic.Name, refused.Message);
        }
    }

    /// <summary>Makes the topics that are configured, and those that sources need.</summary>
    /// <returns>Which of them cannot be made and why, in one line; null where all are there.</returns>
    private static async Task<string?> CreateTopicsAsync(OneProcessNode node, AgentConfiguration configuration, ILogger logger)
    {
        List<string> problems = [];
        foreach (TopicConfiguration topic in configuration.Topics)
        {
            if (node.Controller.Current.Topics.GetValueOrDefault(topic.Name) is not { } known)
                await CreateAsync(topic.Name, topic.Partitions, topic.Settings).ConfigureAwait(false);
            else
                await AlterTopicAsync(node, known, topic, logger).ConfigureAwait(false);
        }

        foreach (string name in configuration.SourceTopics.Where(name => !node.Controller.Current.Topics.ContainsKey(name)))
            await CreateAsync(name, 1, new TopicSettings()).ConfigureAwait(false);

        return problems.Count == 0 ? null : string.Join("; ", problems);

        async Task CreateAsync(string name, int partitions, TopicSettings settings)
        {
            try
            {
                await node.Controller.CreateTopicAsync(name, partitions, settings).ConfigureAwait(false);
            }
            catch (EdgeStreamException refused)
            {
                problems.Add($"topic '{name}' cannot be made: {refused.Message}");
            }
        }
    }
}
