using System.Security.Cryptography;
using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Harness.Network;
using EdgeStream.Protocol.V1;
using EdgeStream.Testing;

namespace EdgeStream.Network.Tests;

/// <summary>A joined edge and its hub, real programs, each in a network of its own with a <see cref="SitePath"/> between them.</summary>
internal sealed class MirrorSite : IDisposable
{
    public const string Topic = "readings";

    /// <summary>What makes an edge notice a dead link soon, for tests that would else wait half a minute.</summary>
    public const string ImpatientUplink = """
        [uplink]
        progress-timeout = "3s"
        max-backoff = "1s"
        """;

    private const int HubPort = 9443;

    // Only a failing test reaches it; the hub offers a topic that it refused every quarter of a minute.
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(90);

    // Of one question to a node, which may be frozen.
    private static readonly TimeSpan AnswerTime = TimeSpan.FromSeconds(5);

    private readonly OwnDirectory _directory = new();

    private MirrorSite(string configuration, int hubDiskMebibytes)
    {
        Path = new SitePath();
        Hub = NodeProcess.Hub(_directory.Path, $"0.0.0.0:{HubPort}", runInNamespace: Path.Hub.Name);
        Edge = NodeProcess.Edge(_directory.Path, configuration, runInNamespace: Path.Edge.Name);
        HubDisk = TinyFileSystem.TryMount(Hub.Data, hubDiskMebibytes * 1024)
            ?? throw new InvalidOperationException($"no file system can be mounted at '{Hub.Data}'");
        EdgeClient = Edge.Connect();
        HubClient = Hub.Connect();
    }

    public SitePath Path { get; }

    public NodeProcess Edge { get; }

    public NodeProcess Hub { get; }

    /// <summary>Where the hub's data is, and nothing else.</summary>
    public TinyFileSystem HubDisk { get; }

    public EdgeStreamClient EdgeClient { get; }

    public EdgeStreamClient HubClient { get; }

    /// <param name="topic">More lines for the topic in the edge's configuration.</param>
    /// <param name="uplink">More tables.</param>
    /// <param name="hubDiskMebibytes">How large the hub's disk is.</param>
    /// <param name="prepare">What is done to the path before the edge joins.</param>
    public static async Task<MirrorSite> StartAsync(
        string topic = "", string uplink = ImpatientUplink, int hubDiskMebibytes = 256, Action<SitePath>? prepare = null)
    {
        var site = new MirrorSite($"[[topic]]\nname = \"{Topic}\"\nmirror = true\n{topic}\n{uplink}\n", hubDiskMebibytes);
        try
        {
            prepare?.Invoke(site.Path);
            await Task.WhenAll(site.Hub.StartAsync(), site.Edge.StartAsync());
            string token = await site.Hub.CommandAsync("geo", "invite", "site-1");
            await site.Edge.CommandAsync("join", $"{SitePath.HubName}:{HubPort}", "--token", token);
            await site.WaitAsync("the edge is connected", async () => (await site.UplinkAsync()).Connected);
            return site;
        }
        catch
        {
            site.Dispose();
            throw;
        }
    }

    /// <summary>Appends records of bytes that do not compress; durable at the edge on return.</summary>
    public async Task ProduceAsync(int count, int size = 100)
    {
        await using Producer producer = await EdgeClient.ProduceAsync(Topic);
        var unacknowledged = new List<Task<long>>();
        for (int i = 0; i < count; i++)
        {
            byte[] value = RandomNumberGenerator.GetBytes(size);
            unacknowledged.Add(await producer.SendAsync(new Record(i, key: null, new ReadOnlyMemory<byte>(value))));
        }

        await Task.WhenAll(unacknowledged);
    }

    public async Task<UplinkStatus> UplinkAsync() =>
        (await EdgeClient.CallAsync(client => client.Agent.GetStatusAsync(new GetStatusRequest())).WaitAsync(AnswerTime)).Uplinks.Single();

    /// <summary>The marks of the topic's partition; null where there is none yet.</summary>
    public static async Task<PartitionStatus?> MarksAsync(EdgeStreamClient node)
    {
        ListPartitionsResponse answer = await node
            .CallAsync(client => client.ControlPlane.ListPartitionsAsync(new ListPartitionsRequest { Topic = Topic }))
            .WaitAsync(AnswerTime);
        return answer.Partitions.FirstOrDefault();
    }

    /// <summary>The gaps that a node lists, first to last offset with the reason.</summary>
    public static async Task<List<(long First, long Last, string Reason)>> GapsAsync(EdgeStreamClient node)
    {
        ListGapsResponse answer = await node.CallAsync(client => client.ControlPlane.ListGapsAsync(new ListGapsRequest { Topic = Topic }));
        return [.. answer.Gaps.Select(gap => (gap.FirstOffset, gap.LastOffset, gap.Reason))];
    }

    /// <summary>Waits for what has to come; a node that does not answer meanwhile is asked again.</summary>
    public Task WaitAsync(string what, Func<Task<bool>> condition, TimeSpan? deadline = null)
    {
        Exception? last = null;
        return Condition.WaitAsync(
            () => $"{what} ({last?.Message})\nThe edge printed:\n{Edge.Process.Output}\nThe hub printed:\n{Hub.Process.Output}",
            async () =>
            {
                try
                {
                    last = null;
                    return await condition();
                }
                catch (Exception error) when (error is ClientException or TimeoutException)
                {
                    last = error;
                    return false;
                }
            },
            deadline ?? Deadline);
    }

    /// <summary>Waits until the edge has noticed that its link is dead.</summary>
    public Task WaitForOfflineAsync() => WaitAsync("the edge has noticed that it is offline", async () => !(await UplinkAsync()).Connected);

    /// <summary>Waits until the hub has all, and compares; throws where they differ.</summary>
    public async Task<MirrorAudit> AuditAsync(Action<Record>? visit = null)
    {
        PartitionStatus? atEdge = null, atHub = null;
        await WaitAsync("the hub has durably what the edge has", async () =>
        {
            (atEdge, atHub) = (await MarksAsync(EdgeClient), await MarksAsync(HubClient));
            return atEdge is not null
                && atEdge.Durable == atEdge.LogEnd
                && atEdge.Mirrored == atEdge.Durable
                && atHub?.Durable == atEdge.Durable;
        });
        MirrorAudit audit = await MirrorAudit.RunAsync(EdgeClient, HubClient, Topic, hubPartition: 0, visit);
        Assert.Null(audit.Difference);
        Assert.Equal(atEdge!.Durable, audit.Records + audit.Lost);
        return audit;
    }

    public void Dispose()
    {
        EdgeClient.Dispose();
        HubClient.Dispose();
        Edge.Dispose();
        Hub.Dispose();
        HubDisk.Dispose();
        Path.Dispose();
        _directory.Dispose();
    }
}
