using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>What the scenarios share: settings for an edge, joining, and waiting until all is mirrored.</summary>
internal static class Sites
{
    public const string Topic = "readings";

    /// <summary>An edge that takes sensors/+/temperature from a broker into a mirror topic.</summary>
    public static string SubscribesTo(int brokerPort) => $$"""
        [[topic]]
        name = "{{Topic}}"
        mirror = true

        [[source.mqtt]]
        broker = "mqtt://127.0.0.1:{{brokerPort}}"
        client-id = "edge"
        subscribe = [{ filter = "sensors/+/temperature", topic = "{{Topic}}", key = "{1}" }]

        [uplink]
        progress-timeout = "3s"
        max-backoff = "1s"
        """;

    /// <summary>An edge that is the broker.</summary>
    public static string IsBroker(int port) => $$"""
        [[topic]]
        name = "{{Topic}}"
        mirror = true

        [[source.mqtt-broker]]
        listen = "127.0.0.1:{{port}}"
        subscribe = [{ filter = "sensors/+/temperature", topic = "{{Topic}}", key = "{1}" }]

        [uplink]
        progress-timeout = "3s"
        max-backoff = "1s"
        """;

    /// <summary>An edge without sources.</summary>
    public const string Plain = $"""
        [[topic]]
        name = "{Topic}"
        mirror = true

        [uplink]
        progress-timeout = "3s"
        max-backoff = "1s"
        """;

    public static async Task JoinAsync(NodeProcess edge, NodeProcess hub, string address, string geo = "site-1")
    {
        string token = await hub.CommandAsync("geo", "invite", geo);
        await edge.CommandAsync("join", address, "--token", token);
    }

    /// <summary>Waits until the hub holds durably what the edge holds durably.</summary>
    public static async Task WaitUntilMirroredAsync(EdgeStreamClient edge, EdgeStreamClient hub, int hubPartition = 0, TimeSpan? deadline = null, string topic = Topic)
    {
        PartitionStatus? atEdge = null, atHub = null;
        await Condition.WaitAsync(
            () => $"all is mirrored: the edge has {atEdge?.Durable}, the hub {atHub?.Durable}",
            async () =>
            {
                atEdge = await PartitionAsync(edge, 0, topic);
                atHub = await PartitionAsync(hub, hubPartition, topic);
                return atEdge is not null && atHub is not null && atEdge.Durable == atEdge.LogEnd && atHub.Durable == atEdge.Durable;
            },
            deadline ?? TimeSpan.FromSeconds(60));
    }

    public static async Task<PartitionStatus?> PartitionAsync(EdgeStreamClient client, int partition, string topic = Topic)
    {
        ListPartitionsResponse answer = await client.CallAsync(c => c.ControlPlane.ListPartitionsAsync(new ListPartitionsRequest()));
        return answer.Partitions.FirstOrDefault(status => status.Partition.Topic == topic && status.Partition.Partition_ == partition);
    }
}
