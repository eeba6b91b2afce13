using System.Runtime.CompilerServices;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;

namespace EdgeStream.Cluster.Grpc;

/// <summary>The topology as messages of the API.</summary>
public static class TopologyMessages
{
    private const int MaxGaps = 10_000;

    // A map is never changed, so another revision is another map.
    private static readonly ConditionalWeakTable<TopologyMap, string> Revisions = [];

    /// <summary>The answer to who asks for the topology: all of it, or that it is what the caller knows.</summary>
    public static V1.Topology ToAnswer(V1.GetTopologyRequest request, TopologyMap map, GeoLocationPresence presence, Func<int, SpuStatus> statusOf)
    {
        string revision = Revisions.GetValue(map, _ => Guid.NewGuid().ToString("N"));
        if (request.KnownRevision == revision)
            return new V1.Topology { Revision = revision, Unchanged = true };

        V1.Topology answer = ToMessage(map, presence, statusOf);
        answer.Revision = revision;
        return answer;
    }

    public static V1.Topology ToMessage(TopologyMap map, GeoLocationPresence presence, Func<int, SpuStatus> statusOf) => new()
    {
        ClusterId = map.ClusterId,
        Spus = { map.Spus.Select(spu => ToMessage(spu, statusOf(spu.Id))) },
        GeoLocations = { map.GeoLocations.Values.Select(geo => ToMessage(geo, presence)) },
        Topics = { map.Topics.Values.Select(ToMessage) },
        RevokedNames = { map.RevokedNames },
    };

    public static V1.Spu ToMessage(SpuInfo spu, SpuStatus status) => new()
    {
        Id = spu.Id,
        Online = status.Online,
        Endpoints = { spu.Endpoints },
        Zone = spu.Zone ?? "",
        Version = status.Version,
        NatsServer = status.NatsServer,
    };

    public static V1.OvertakenPartition ToMessage(OvertakenPartition overtaken) => new()
    {
        Topic = overtaken.Partition.Topic,
        Partition = overtaken.Partition.Partition,
        ToldEpoch = overtaken.Told,
        FoundEpoch = overtaken.Found,
    };

    public static OvertakenPartition FromMessage(V1.OvertakenPartition overtaken) =>
        new(new PartitionId(overtaken.Topic, overtaken.Partition), overtaken.ToldEpoch, overtaken.FoundEpoch);

    public static SpuStatus FromMessage(V1.Spu spu) => new(spu.Online, spu.Version, spu.NatsServer);

    public static V1.Topic ToMessage(TopicInfo topic) => new()
    {
        Name = topic.Name,
        Settings = TopicSettingsMessages.ToMessage(topic.Settings),
        Partitions = { topic.Partitions.Select(partition => ToMessage(topic.Name, partition)) },
    };

    public static V1.GeoLocation ToMessage(GeoLocationInfo geo, GeoLocationPresence presence)
    {
        // Who has the link knows; what the topology knows of it is known here better.
        if (presence.FindElsewhere(geo.Name) is { } elsewhere)
        {
            V1.GeoLocation told = elsewhere.Clone();
            told.State = StateOf(geo, elsewhere.State == V1.GeoLocationState.Online);
            told.JoinedAt = geo.JoinedAt?.ToUnixTimeMilliseconds() ?? 0;
            told.CertificateUntil = geo.CertificateUntil?.ToUnixTimeMilliseconds() ?? 0;
            told.Refusal = presence.Refusals.Find(geo.Name) is { } refused ? ToMessage(refused) : null;
            return told;
        }

        GeoLocationTraffic traffic = presence.TrafficOf(geo.Name);
        return new V1.GeoLocation
        {
            Name = geo.Name,
            State = StateOf(geo, presence.IsOnline(geo.Name)),
            JoinedAt = geo.JoinedAt?.ToUnixTimeMilliseconds() ?? 0,
            LastSeen = presence.LastSeen(geo.Name)?.ToUnixTimeMilliseconds() ?? 0,
            CertificateUntil = geo.CertificateUntil?.ToUnixTimeMilliseconds() ?? 0,
            Refusal = presence.Refusals.Find(geo.Name) is { } refusal ? ToMessage(refusal) : null,
            WireBytes = traffic.WireBytes,
            BatchBytes = traffic.BatchBytes,
            BatchBytesPerSecond = (long)traffic.BatchBytesPerSecond,
            LinkError = presence.LinkError(geo.Name) ?? "",
        };
    }

    private static V1.GeoLocationState StateOf(GeoLocationInfo geo, bool isOnline) => geo switch
    {
        { Revoked: true } => V1.GeoLocationState.Revoked,
        { JoinedAt: null } => V1.GeoLocationState.Invited,
        _ => isOnline ? V1.GeoLocationState.Online : V1.GeoLocationState.Offline,
    };

    public static V1.Refusal ToMessage(GeoLocationRefusal refusal) => new()
    {
        GeoLocation = refusal.GeoLocation,
        Reason = refusal.Reason,
        At = refusal.At.ToUnixTimeMilliseconds(),
        Address = refusal.Address,
        Count = refusal.Count,
    };

    private static async ValueTask<V1.PartitionStatus> ToStatusAsync(Partition partition, CancellationToken cancellationToken)
    {
        var status = new V1.PartitionStatus
        {
            Partition = ToMessage(partition.Id.Topic, partition.Info),
            EdgeDurable = partition.Edge.Durable,
            LagBytes = partition.Edge.LagBytes,
            LagMs = partition.Edge.LagMs,
            MirrorProblem = partition.MirrorProblem ?? "",
            Problem = partition.Problem ?? "",
            Down = partition.IsDown,
        };
        if (partition.IsOpen)
        {
            LogOffsets offsets = partition.Log.Offsets;
            status.LogStart = offsets.Start;
            status.Mirrored = offsets.Mirrored;
            status.Durable = offsets.Durable;
            status.LogEnd = offsets.End;
            status.SizeBytes = partition.Log.SizeInBytes();
            status.LostRecords = partition.Log.Gaps.Sum(gap => gap.Records);
            if (partition.Log.Settings.IsMirrored)
            {
                MirrorLag lag = await MirrorLag.OfAsync(partition.Log, cancellationToken).ConfigureAwait(false);
                status.LagBytes = lag.Bytes;
                status.LagMs = (long)(lag.AgeAt(DateTimeOffset.UtcNow)?.TotalMilliseconds ?? 0);
            }
            status.Incarnation = partition.Log.Manifest.Incarnation.ToString("N");
        }

        return status;
    }

    public static async ValueTask<IReadOnlyList<V1.PartitionStatus>> ToStatusesAsync(IEnumerable<Partition> partitions, CancellationToken cancellationToken)
    {
        List<V1.PartitionStatus> statuses = [];
        foreach (Partition partition in partitions)
            statuses.Add(await ToStatusAsync(partition, cancellationToken).ConfigureAwait(false));

        return statuses;
    }

    /// <summary>Gaps of partitions from one of them on, as many as one answer may carry.</summary>
    public static V1.ListGapsResponse ToGaps(IEnumerable<Partition> partitions, long skip)
    {
        var response = new V1.ListGapsResponse();
        foreach (Partition partition in partitions)
        {
            IReadOnlyList<Gap> gaps = partition.Log.Gaps;
            for (long i = Math.Max(0, skip - response.Total); i < gaps.Count && response.Gaps.Count < MaxGaps; i++)
                response.Gaps.Add(ToMessage(partition, gaps[(int)i]));

            response.Total += gaps.Count;
        }

        return response;
    }

    public static V1.Gap ToMessage(Partition partition, Gap gap) => new()
    {
        Topic = partition.Id.Topic,
        Partition = partition.Id.Partition,
        GeoLocation = partition.Info.GeoLocation ?? "",
        FirstOffset = gap.First,
        LastOffset = gap.Last,
        Bytes = gap.Bytes,
        MinTimestamp = gap.MinTimestamp,
        MaxTimestamp = gap.MaxTimestamp,
        Reason = gap.Reason.ToString().ToLowerInvariant(),
        NotedAt = gap.NotedAt,
    };

    private static V1.Partition ToMessage(string topic, PartitionInfo partition) => new()
    {
        Topic = topic,
        Partition_ = partition.Number,
        LeaderSpu = partition.LeaderSpu,
        GeoLocation = partition.GeoLocation ?? "",
    };
}
