using EdgeStream.Cluster.Metadata.JetStream;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Tests.Engines;
using EdgeStream.Harness;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Cluster.Tests.Metadata.JetStream;

/// <summary>Options and names by which tests share nats-servers and nothing else.</summary>
internal static class MetadataServers
{
    public static string NewName() => $"test-{Guid.NewGuid():N}";

    public static JetStreamOptions At(params string[] urls) => new(urls) { AnswerTimeout = TimeSpan.FromSeconds(2) };

    public static JetStreamOptions At(FaultyLink link) => At($"nats://127.0.0.1:{link.Port}");

    /// <summary>One server and one replica, or three of both.</summary>
    public static async Task<JetStreamOptions> OptionsAsync(this NatsFixture nats, int replicas) => replicas == 1
        ? At((await nats.SingleAsync()).Url)
        : At([.. (await nats.ClusterAsync()).Urls]) with { Replicas = replicas };

    /// <summary>As an SC does it: servers that have just started have no leader yet.</summary>
    public static async Task<JetStreamTopologyStore> OpenTopologyAsync(JetStreamOptions options, string name, string writer = "sc-1", ILogger? logger = null)
    {
        JetStreamTopologyStore? store = null;
        string problem = "";
        await Condition.WaitAsync(
            () => $"the topology opens: {problem}",
            async () =>
            {
                try
                {
                    store = await JetStreamTopologyStore.OpenAsync(options, name, writer, logger ?? NullLogger.Instance);
                    return true;
                }
                catch (ClusterException early) when (early.Code is ErrorCode.Unavailable or ErrorCode.InvalidArgument)
                {
                    problem = early.Message;
                    return false;
                }
            });
        return store!;
    }
}
