using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.ClusterTesting;
using EdgeStream.Mirror.Bundles;
using EdgeStream.Mirror.Downlink;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Mirror.Tests;

/// <summary>An edge that has joined a hub; its uplink runs between <see cref="StartAsync"/> and <see cref="StopAsync"/>.</summary>
internal sealed class InProcessEdge : IAsyncDisposable
{
    public static UplinkOptions Impatient { get; } = new()
    {
        ChunkBytes = 4096,
        MinBackoff = TimeSpan.FromMilliseconds(10),
        MaxBackoff = TimeSpan.FromMilliseconds(100),
        RefusedRetry = TimeSpan.FromMilliseconds(100),
        PositionInterval = TimeSpan.FromMilliseconds(50),
    };

    private readonly TempDirectory _temp = new();
    private CancellationTokenSource _stop = new();
    private Task _running = Task.CompletedTask;

    private InProcessEdge(string name) => Name = name;

    public string Name { get; }

    public string DataDirectory => _temp.Sub("data");

    public EdgeIdentity Identity { get; private set; } = null!;

    public NodeParts Parts { get; private set; } = null!;

    public HubUplink Uplink { get; private set; } = null!;

    /// <summary>What it knows of the hub's time; forgotten when it is restarted.</summary>
    public HubClock Clock { get; private set; } = new(TimeProvider.System);

    /// <summary>What its downlink says.</summary>
    public KeptLog<DownlinkLane> DownlinkLogger { get; } = new();

    /// <summary>Joins with a fresh token, and starts to mirror.</summary>
    public static async Task<InProcessEdge> JoinAsync(InProcessHub hub, string name, params string[] topics)
    {
        InProcessEdge edge = await JoinWithoutUplinkAsync(hub, name, topics);
        edge.StartUplink();
        return edge;
    }

    public static Task<InProcessEdge> JoinWithoutUplinkAsync(InProcessHub hub, string name, params string[] topics) =>
        JoinWithoutUplinkAsync(hub, name, new LogResources(), topics);

    public static async Task<InProcessEdge> JoinWithoutUplinkAsync(InProcessHub hub, string name, LogResources resources, params string[] topics)
    {
        var edge = new InProcessEdge(name);
        edge.Parts = await NodeParts.StartAsync(
            edge.DataDirectory, options: new LogOptions { SegmentBytes = 10_000 }, files: new FaultyFiles(), resources: resources);
        edge.Identity = await HubEnroller.JoinAsync(edge.DataDirectory, hub.Address, await hub.InviteAsync(name), JoiningCard.New, CancellationToken.None);
        foreach (string topic in topics)
            await edge.CreateTopicAsync(topic);

        return edge;
    }

    /// <summary>An edge that has not joined yet, or one with a copy of another one's card, which must be stopped meanwhile.</summary>
    public static async Task<InProcessEdge> OpenAsync(string name, string? copyOf = null)
    {
        var edge = new InProcessEdge(name);
        if (copyOf is not null)
            Copy(copyOf, edge.DataDirectory);

        edge.Parts = await NodeParts.StartAsync(edge.DataDirectory, options: new LogOptions { SegmentBytes = 10_000 }, files: new FaultyFiles());
        if (copyOf is not null)
            edge.Identity = EdgeIdentity.Load(edge.DataDirectory, EdgeIdentity.List(edge.DataDirectory)[0])!;

        return edge;
    }

    /// <summary>Joins, or joins again, with a fresh token; the uplink is not started.</summary>
    public async Task JoinAsync(InProcessHub hub, bool replacesCard) => await JoinAsync(hub.Address, await hub.InviteAsync(Name), replacesCard);

    public async Task JoinAsync(string addresses, string token, bool replacesCard = false)
    {
        string[] incarnations = [.. Parts.Spu.Partitions.Select(partition => partition.Log.Manifest.Incarnation.ToString("N"))];
        EdgeIdentity joined = await HubEnroller.JoinAsync(
            DataDirectory, addresses, token, new JoiningCard(incarnations, replacesCard), CancellationToken.None);
        Identity?.Dispose();
        Identity = joined;
    }

    /// <summary>A copy of its card, as it is between a stop and the next start.</summary>
    public async Task<string> CopyCardAsync(TempDirectory directory)
    {
        await StopUplinkAsync();
        await Parts.DisposeAsync();
        string copy = directory.Sub($"card-{Guid.NewGuid():N}");
        Copy(DataDirectory, copy);
        Parts = await NodeParts.StartAsync(DataDirectory, options: new LogOptions { SegmentBytes = 10_000 }, files: new FaultyFiles());
        return copy;
    }

    /// <param name="options">Null for what suits tests.</param>
    /// <param name="lanes">Null for the downlink alone.</param>
    /// <param name="time">The uplink's clock.</param>
    /// <param name="limitsTime">The clock by which bandwidth and month are kept.</param>
    public void StartUplink(
        UplinkOptions? options = null, IReadOnlyList<IUplinkLane>? lanes = null, TimeProvider? time = null, TimeProvider? limitsTime = null)
    {
        options ??= Impatient;
        lanes ??= [new DownlinkLane(Parts.Controller, Clock, TimeProvider.System, DownlinkLogger)];
        var marks = new MirrorMarks(MirrorRule.All);
        marks.Join(Identity.Id);
        var limits = new LinkLimits(options, DataDirectory, limitsTime ?? TimeProvider.System);
        Uplink = new HubUplink(
            Identity, Parts.Controller, marks, options, "test", lanes, limits, time ?? TimeProvider.System, NullLogger<HubUplink>.Instance);
        _running = Task.Run(() => Uplink.RunAsync(_stop.Token));
    }

    public async Task RestartUplinkAsync(IReadOnlyList<IUplinkLane>? lanes = null)
    {
        await StopUplinkAsync();
        StartUplink(lanes: lanes);
    }

    public async Task StopUplinkAsync()
    {
        await _stop.CancelAsync();
        await _running.InTimeAsync();
        _stop = new CancellationTokenSource();
    }

    /// <summary>As a restart of the program: everything is closed and opened again.</summary>
    /// <param name="hub">The hub's address where it is another one now.</param>
    public async Task RestartAsync(string? hub = null)
    {
        await StopUplinkAsync();
        await Parts.DisposeAsync();
        Identity.Dispose();
        if (hub is not null)
            await File.WriteAllTextAsync(Path.Combine(DataDirectory, "identity", Identity.Id, "hub"), hub);

        Parts = await NodeParts.StartAsync(DataDirectory, options: new LogOptions { SegmentBytes = 10_000 }, files: new FaultyFiles());
        Clock = new HubClock(TimeProvider.System);
        Identity = EdgeIdentity.Load(DataDirectory, Identity.Id)!;
        StartUplink();
    }

    /// <summary>Changes its files, as they are between a stop and the next start; the uplink does not run.</summary>
    public async Task ChangeFilesAsync(Action change)
    {
        await StopUplinkAsync();
        await Parts.DisposeAsync();
        change();
        Parts = await NodeParts.StartAsync(DataDirectory, options: new LogOptions { SegmentBytes = 10_000 }, files: new FaultyFiles());
    }

    public Task CreateTopicAsync(string topic) => Parts.Controller.CreateTopicAsync(topic, 1, new TopicSettings(Mirror: true));

    public PartitionLog Log(string topic) => Parts.Log(topic);

    /// <summary>Appends batches of up to three records of some size.</summary>
    public async Task FillAsync(string topic, int batches, int size = 50)
    {
        for (int i = 0; i < batches; i++)
        {
            string[] values = [.. Enumerable.Range(0, 1 + (i % 3)).Select(n => $"{Name} {topic} {i}.{n} " + new string('x', size))];
            await Log(topic).AppendAsync(Batches.Of(values), AckLevel.Durable);
        }
    }

    /// <summary>A bundle of a topic's records, and what the exporter said of it.</summary>
    public async Task<(byte[] Bundle, V1.ExportRange Range)> ExportAsync(string topic, long? from = null, long? to = null)
    {
        var request = new V1.ExportLogRequest { Topic = topic };
        if (from is { } first)
            request.From = first;

        if (to is { } end)
            request.To = end;

        var file = new MemoryStream();
        using BundleExporter exporter = BundleExporter.Open(
            Parts.Controller.GetPartition(topic, 0), Name, Identity.Certificate, request, DateTimeOffset.UtcNow, bytes => file.WriteAsync(bytes));
        await exporter.WriteAsync(CancellationToken.None).InTimeAsync();
        return (file.ToArray(), exporter.Range);
    }

    public Task IsConnectedAsync() => Eventually.HoldsAsync(() => Uplink.State.Connected, $"{Name} is connected");

    public Task FailsWithAsync(string problem) => Eventually.HoldsAsync(
        () => Uplink.State.LastError?.Contains(problem, StringComparison.Ordinal) == true,
        $"{Name} reports '{problem}' (it reports '{Uplink.State.LastError}')");

    /// <summary>The same, where waiting does not help.</summary>
    public async Task IsStuckAsync(string problem)
    {
        await FailsWithAsync(problem);
        await Eventually.HoldsAsync(
            () => Uplink.Problems.Any(known => known.Contains(problem, StringComparison.Ordinal)),
            $"{Name} needs somebody because of '{problem}' (it says '{string.Join("; ", Uplink.Problems)}')");
    }

    /// <summary>Waits until the hub has all of a topic, and compares every byte that the edge still holds.</summary>
    public async Task IsMirroredAsync(InProcessHub hub, string topic)
    {
        await IsMirroredAsync(topic, () => hub.LogOf(Name, topic)!);
    }

    /// <summary>The same, where the copy lies with whoever leads it then.</summary>
    public async Task IsMirroredAsync(string topic, Func<PartitionLog> copyOf)
    {
        PartitionLog log = Log(topic);
        long end = log.Offsets.Durable;
        await log.WaitForMirroredAsync(end, CancellationToken.None).InTimeAsync();
        PartitionLog copy = copyOf();
        Assert.Equal(end, copy.Offsets.Durable);
        Assert.Equal(BytesOf(log, log.StartOffset), BytesOf(copy, log.StartOffset));
        Assert.DoesNotContain(Uplink.Problems, problem => problem.Contains($"'{topic}'", StringComparison.Ordinal));
    }

    public async ValueTask DisposeAsync()
    {
        await StopUplinkAsync();
        await Parts.DisposeAsync();
        Identity?.Dispose();
        _stop.Dispose();
        _temp.Dispose();
    }

    /// <summary>Waits until the edge has all that flows down to it, and compares every byte.</summary>
    public async Task HasAllOfAsync(InProcessHub hub, string topic)
    {
        PartitionLog original = hub.LogOf(Name, topic)!;
        long end = original.Offsets.Durable;
        await Eventually.HoldsAsync(() => Parts.Controller.Current.Topics.ContainsKey(topic), $"{Name} has {topic}");
        await original.WaitForMirroredAsync(end, CancellationToken.None).InTimeAsync();
        PartitionLog copy = Log(topic);
        Assert.Equal(end, copy.Offsets.Durable);
        Assert.Equal(BytesOf(original, original.StartOffset), BytesOf(copy, original.StartOffset));
    }

    private static void Copy(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (string directory in Directory.GetDirectories(from, "*", SearchOption.AllDirectories))
            Directory.CreateDirectory(Path.Combine(to, Path.GetRelativePath(from, directory)));

        foreach (string file in Directory.GetFiles(from, "*", SearchOption.AllDirectories))
            File.Copy(file, Path.Combine(to, Path.GetRelativePath(from, file)));
    }

    private static byte[] BytesOf(PartitionLog log, long from)
    {
        using LogReader reader = log.OpenReader(from);
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
