using EdgeStream.Agent.Configuration;
using EdgeStream.Devices;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Hosting.Sinks;

/// <summary>Tells Home Assistant of this node, where that is configured.</summary>
internal static class HomeAssistantFactory
{
    /// <param name="configuration">What is configured.</param>
    /// <param name="broker">The node's own, where there is one.</param>
    /// <param name="status">How the node is; asked while it runs.</param>
    /// <param name="files">Where it remembers what it has told.</param>
    /// <param name="loggers">For its messages.</param>
    /// <returns>One, or none.</returns>
    public static IReadOnlyList<ConfiguredDevice> Create(
        AgentConfiguration configuration, EmbeddedBroker? broker, Func<NodeStatus> status, IDeviceFiles files, ILoggerFactory loggers) =>
        configuration.HomeAssistant is { } options
            ?
            [
                new ConfiguredDevice(
                    (options, broker),
                    () => new HomeAssistantDiscovery(
                        options, broker, () => StateOf(status()), TimeProvider.System, loggers.CreateLogger<HomeAssistantDiscovery>(), files)),
            ]
            : [];

    private static HomeAssistantState StateOf(NodeStatus status) => new(
        status.Version,
        status.Problems.FirstOrDefault(),
        status.Uplinks.Count == 0 ? null : status.Uplinks.All(uplink => uplink.Connected),
        status.Uplinks.Sum(uplink => uplink.LagRecords),
        status.Storage.UsedBytes);
}
