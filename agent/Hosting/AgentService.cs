using EdgeStream.Agent.Cli;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Spu;
using EdgeStream.Devices;
using EdgeStream.Mirror.Bundles;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Protocol.V1;
using Grpc.Core;
using ErrorCode = EdgeStream.Protocol.V1.ErrorCode;
using SourceStatus = EdgeStream.Devices.SourceStatus;

namespace EdgeStream.Agent.Hosting;

/// <summary>What concerns this one node, for its local socket. An edge brings its sources, its uplink and its sinks.</summary>
internal sealed class AgentService(
    Node node, TimeProvider time, UplinkHost? uplinks = null, DeviceSet? sources = null, LogRecordSink? sink = null,
    BundleImporter? importer = null, DeviceSet? sinks = null, ConfigurationReload? reload = null)
    : Protocol.V1.Agent.AgentBase
{
    private readonly long _started = time.GetTimestamp();

    private UplinkHost Uplinks => uplinks
        ?? throw new ClusterException(ErrorCode.WrongRole, $"this node is {(node.Kind == "hub" ? "a hub" : $"an {node.Kind.ToUpperInvariant()}")}; join, leave and export belong to edges");

    public override async Task<NodeStatus> GetStatus(GetStatusRequest request, ServerCallContext context)
    {
        NodeStatus status = Status();
        status.Partitions.AddRange(await TopologyMessages.ToStatusesAsync(node.Partitions, context.CancellationToken).ConfigureAwait(false));
        return status;
    }

    /// <summary>How the node is, its partitions left out: what of them is read may lie elsewhere. Safe from any thread.</summary>
    public NodeStatus Status()
    {
        var status = new NodeStatus
        {
            Role = node.Kind,
            Standing = node.Standing,
            Version = BuildInfo.Version,
            UptimeSeconds = (long)time.GetElapsedTime(_started).TotalSeconds,
            DataDirectory = node.Data.Path,
            Storage = node.Storage.Status(),
            Sources = { (sources?.Statuses ?? []).Select(ToMessage) },
            Sinks = { (sinks?.Statuses ?? []).Select(ToMessage) },
            GeoLocations = { node.GeoLocations.Select(geo => TopologyMessages.ToMessage(geo, node.Presence)) },
        };
        node.Describe(status);
        status.Refusals.AddRange(node.Presence.Refusals.Shown
            .Where(refusal => !node.Cluster.Current.GeoLocations.ContainsKey(refusal.GeoLocation))
            .Select(TopologyMessages.ToMessage));
        status.Uplinks.AddRange((uplinks?.Uplinks ?? []).Select(ToMessage));
        status.Problems.AddRange(Problems());
        return status;
    }

    public override async Task<JoinHubResponse> JoinHub(JoinHubRequest request, ServerCallContext context)
    {
        HubUplink uplink = await Uplinks
            .JoinAsync(request.Hub, request.Token, request.Replace, context.CancellationToken)
            .ConfigureAwait(false);
        return new JoinHubResponse { GeoLocation = uplink.Identity.GeoLocation };
    }

    public override async Task<LeaveHubResponse> LeaveHub(LeaveHubRequest request, ServerCallContext context)
    {
        (string left, IReadOnlyList<string> remaining) = await Uplinks.LeaveAsync(request.Hub).ConfigureAwait(false);
        return new LeaveHubResponse { Hub = left, Remaining = { remaining } };
    }

    /// <summary>A bundle is signed with the certificate that its hub has issued.</summary>
    public override Task ExportLog(
        ExportLogRequest request, IServerStreamWriter<ExportLogResponse> responseStream, ServerCallContext context) =>
        BundleCalls.ExportAsync(node, Uplinks.IdentityAt(request.Hub), request, time, responseStream, context.CancellationToken);

    public override Task<ImportLogResponse> ImportLog(IAsyncStreamReader<ImportLogRequest> requestStream, ServerCallContext context)
    {
        BundleImporter hub = importer
            ?? throw new ClusterException(ErrorCode.WrongRole, node.Kind == "sc"
                ? "this node is an SC; a bundle is imported at the SPU that serves the geo-location, which 'edgestream topology' names"
                : "this node is an edge; a bundle is imported at the hub that the edge has joined");
        return BundleCalls.ImportAsync(hub, requestStream, context.CancellationToken);
    }

    /// <summary>What makes the node unhealthy. Being offline does not. Safe from any thread.</summary>
    public IEnumerable<string> Problems()
    {
        foreach (string own in node.Problems)
            yield return own;

        if (reload?.Problem is { } configuration)
            yield return configuration;

        if (node.Storage.Problem is { } clock)
            yield return clock;

        foreach (string uplink in uplinks?.Problems ?? [])
            yield return uplink;

        if (sink?.Problem is { } waiting)
            yield return waiting;

        foreach (Cluster.Spu.Partition partition in node.Partitions)
        {
            if (partition.Problem is { } problem)
                yield return $"{partition.Id}: {problem}";
        }

        foreach (SourceStatus source in sources?.Statuses ?? [])
        {
            foreach (string problem in ProblemsOf(source))
                yield return $"source {source.Name}: {problem}";
        }

        foreach (SourceStatus output in sinks?.Statuses ?? [])
        {
            foreach (string problem in ProblemsOf(output))
                yield return $"sink {output.Name}: {problem}";
        }
    }

    private static IReadOnlyList<string> ProblemsOf(SourceStatus device) => device switch
    {
        { State: SourceState.Waiting, LastError: { } error } => [error],
        { Shortfall: { } shortfall } => shortfall.Problems,
        _ => [],
    };

    /// <summary>The node in a few words, for those who ask the service manager. Safe from any thread.</summary>
    public string Summary()
    {
        string topics = Plural.Of(node.Cluster.Current.Topics.Count, "topic");
        string problem = Problems().FirstOrDefault() is { } first ? $"; {first}" : "";
        if (uplinks is null)
            return $"{Plural.Of(node.Cluster.Current.GeoLocations.Count, "geo-location")}, {topics}{problem}";

        string hubs = string.Join(", ", uplinks.Uplinks.Select(SummaryOf));
        return $"{(hubs.Length > 0 ? hubs : "joined no hub")}, {topics}{problem}";
    }

    private string SummaryOf(HubUplink uplink)
    {
        string name = uplink.Identity.GeoLocation;
        long behind = LagsOf(uplink).Sum(lag => lag.Records);
        string lag = behind == 0 ? "all is mirrored" : $"{Plural.Of(behind, "record")} to mirror";
        return uplink.State.Connected ? $"joined as {name}, {lag}" : $"{name} is offline, {lag}";
    }

    private MirrorLag[] LagsOf(HubUplink uplink) =>
    [
        .. node.Partitions
            .Where(partition => partition is { IsOpen: true, Log.Settings.IsMirrored: true })
            .Select(partition => MirrorLag.Of(partition.Segments, uplink.Marks.Of(partition.Segments))),
    ];

    private UplinkStatus ToMessage(HubUplink uplink)
    {
        UplinkState state = uplink.State;
        MirrorLag[] lags = LagsOf(uplink);
        DateTimeOffset now = time.GetUtcNow();
        long lagBytes = lags.Sum(lag => lag.Bytes);
        return new UplinkStatus
        {
            Hub = uplink.Identity.Hub,
            GeoLocation = uplink.Identity.GeoLocation,
            Connected = state.Connected,
            LastError = state.LastError ?? "",
            SentBytes = state.SentBytes,
            Reconnects = state.Reconnects,
            LagRecords = lags.Sum(lag => lag.Records),
            LagBytes = lagBytes,
            LagMs = (long)(lags.Max(lag => lag.AgeAt(now))?.TotalMilliseconds ?? 0),
            DrainedInSeconds = state is { Connected: true, BatchBytesPerSecond: > 0 and var rate } && lagBytes > 0
                ? (long)Math.Ceiling(lagBytes / rate)
                : 0,
            WireSentBytes = state.WireSentBytes,
            WireReceivedBytes = state.WireReceivedBytes,
            LinkBytesPerSecond = (long)state.LinkBytesPerSecond,
            RoundTripMs = (long)Math.Ceiling(state.RoundTrip?.TotalMilliseconds ?? 0),
            Waiting = state.Waiting ?? "",
            CertificateUntil = new DateTimeOffset(uplink.Identity.Certificate.NotAfter).ToUnixTimeMilliseconds(),
        };
    }

    private static Protocol.V1.SourceStatus ToMessage(SourceStatus source)
    {
        var message = new Protocol.V1.SourceStatus
        {
            Name = source.Name,
            State = source.State.ToString().ToLowerInvariant(),
            Problem = source.LastError ?? "",
            Received = source.Received,
            Stored = source.Stored,
            Incomplete = source.Incomplete,
            Dropped = source.Dropped.Sum(drops => drops.Count),
            DroppedByReason = { source.Dropped.Select(drops => new DroppedCount { Reason = drops.Reason.Word(), Count = drops.Count }) },
            Extent = source.Shortfall?.Extent ?? "",
            Problems = { source.Shortfall?.Problems ?? [] },
        };
        if (source.LastErrorAge is { } age)
            message.ProblemAgeMs = (long)age.TotalMilliseconds;

        return message;
    }
}
