using EdgeStream.Cluster.Topology;
using EdgeStream.ClusterTesting;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Mirror.Tests;

/// <summary>Two hubs and an edge that has joined both, under another name at each.</summary>
internal sealed class InProcessHubs : IAsyncDisposable
{
    public const string Topic = "readings";

    private static readonly UplinkOptions Impatient = new()
    {
        ChunkBytes = 4096,
        MinBackoff = TimeSpan.FromMilliseconds(10),
        MaxBackoff = TimeSpan.FromMilliseconds(100),
        PositionInterval = TimeSpan.FromMilliseconds(50),
    };

    private readonly TempDirectory _temp = new();
    private readonly MirrorRule _rule;
    private readonly List<(HubUplink Uplink, Task Running, CancellationTokenSource Stop)> _uplinks = [];
    private NodeParts _parts = null!;
    private MirrorMarks _marks = null!;

    private InProcessHubs(MirrorRule rule) => _rule = rule;

    public InProcessHub First { get; private set; } = null!;

    public InProcessHub Second { get; private set; } = null!;

    public PartitionLog Log => _parts.Log(Topic);

    public PartitionLog? CopyAtFirst => First.LogOf("north", Topic);

    public PartitionLog? CopyAtSecond => Second.LogOf("norden", Topic);

    public IReadOnlyList<HubUplink> Uplinks => [.. _uplinks.Select(item => item.Uplink)];

    public static async Task<InProcessHubs> StartAsync(MirrorRule rule)
    {
        var hubs = new InProcessHubs(rule) { First = await InProcessHub.StartAsync(), Second = await InProcessHub.StartAsync() };
        string data = hubs._temp.Sub("data");
        await hubs.OpenAsync();
        await hubs._parts.Controller.CreateTopicAsync(Topic, 1, new TopicSettings(Mirror: true));
        foreach ((InProcessHub hub, string name) in ((InProcessHub, string)[])[(hubs.First, "north"), (hubs.Second, "norden")])
            (await HubEnroller.JoinAsync(data, hub.Address, await hub.InviteAsync(name), JoiningCard.New, CancellationToken.None)).Dispose();

        hubs.Connect();
        return hubs;
    }

    /// <summary>As a restart of the edge's program.</summary>
    public async Task RestartEdgeAsync()
    {
        await StopEdgeAsync();
        await OpenAsync();
        Connect();
    }

    public async Task LeaveAsync(InProcessHub hub)
    {
        int index = _uplinks.FindIndex(item => item.Uplink.Identity.Hub == hub.Address);
        string id = _uplinks[index].Uplink.Identity.Id;
        await StopUplinkAsync(index);
        EdgeIdentity.Forget(_temp.Sub("data"), id);
        _marks.Leave(id);
    }

    public async Task FillAsync(int batches = 50)
    {
        for (int i = 0; i < batches; i++)
            await Log.AppendAsync(Batches.Of($"record {i}", "and another"), AckLevel.Durable);
    }

    /// <summary>Waits until a copy ends where the edge's log ends, and compares every byte.</summary>
    public async Task HasAllAsync(Func<PartitionLog?> copy)
    {
        await Eventually.HoldsAsync(() => copy()?.Offsets.Durable == Log.Offsets.Durable, "the hub has all records");
        Assert.Equal(BytesOf(Log), BytesOf(copy()!));
    }

    public Task MirroredIsAsync(long offset) => Eventually.HoldsAsync(
        () => Log.Offsets.Mirrored == offset, $"{offset} is mirrored ({Log.Offsets.Mirrored} is)");

    public async ValueTask DisposeAsync()
    {
        await StopEdgeAsync();
        await First.DisposeAsync();
        await Second.DisposeAsync();
        _temp.Dispose();
    }

    private async Task OpenAsync() =>
        _parts = await NodeParts.StartAsync(_temp.Sub("data"), options: new LogOptions { SegmentBytes = 10_000 }, files: new FaultyFiles());

    private void Connect()
    {
        _marks = new MirrorMarks(_rule);
        string data = _temp.Sub("data");
        EdgeIdentity[] identities = [.. EdgeIdentity.List(data).Select(id => EdgeIdentity.Load(data, id)!)];
        foreach (EdgeIdentity identity in identities)
            _marks.Join(identity.Id);

        foreach (EdgeIdentity identity in identities)
        {
            var uplink = new HubUplink(
                identity, _parts.Controller, _marks, Impatient, "test", [], new LinkLimits(Impatient, _temp.Sub("data"), TimeProvider.System),
                TimeProvider.System, NullLogger<HubUplink>.Instance);
            var stop = new CancellationTokenSource();
            _uplinks.Add((uplink, Task.Run(() => uplink.RunAsync(stop.Token)), stop));
        }
    }

    private async Task StopEdgeAsync()
    {
        while (_uplinks.Count > 0)
            await StopUplinkAsync(0);

        await _parts.DisposeAsync();
    }

    private async Task StopUplinkAsync(int index)
    {
        (HubUplink uplink, Task running, CancellationTokenSource stop) = _uplinks[index];
        _uplinks.RemoveAt(index);
        await stop.CancelAsync();
        await running.InTimeAsync();
        uplink.Identity.Dispose();
        stop.Dispose();
    }

    private static byte[] BytesOf(PartitionLog log)
    {
        using LogReader reader = log.OpenReader(log.StartOffset);
        var bytes = new MemoryStream();
        while (true)
        {
            using LogSlice slice = reader.Read(100_000);
            if (slice.IsEmpty)
                return bytes.ToArray();

            bytes.Write(slice.Batches.Span);
        }
    }
}
