using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;

namespace EdgeStream.Cluster.Grpc;

/// <summary>The topology as messages of the API.</summary>
public static class TopologyMessages
{
    public static V1.Topology ToMessage(TopologyMap map, GeoLocationPresence presence) => new()
    {
        ClusterId = map.ClusterId,
        Spus = { map.Spus.Select(spu => new V1.Spu { Id = spu.Id, Online = true, Endpoints = { spu.Endpoints } }) },
        GeoLocations = { map.GeoLocations.Values.Select(geo => ToMessage(geo, presence)) },
        Topics = { map.Topics.Values.Select(ToMessage) },
    };

    public static V1.Topic ToMessage(TopicInfo topic) => new()
    {
        Name = topic.Name,
        Settings = new V1.TopicSettings
        {
            Mirror = topic.Settings.Mirror,
            Compression = topic.Settings.Compression.ToString().ToLowerInvariant(),
        },
        Partitions = { topic.Partitions.Select(partition => ToMessage(topic.Name, partition)) },
    };

    public static V1.GeoLocation ToMessage(GeoLocationInfo geo, GeoLocationPresence presence) => new()
    {
        Name = geo.Name,
        State = geo switch
        {
            { Revoked: true } => V1.GeoLocationState.Revoked,
            { JoinedAt: null } => V1.GeoLocationState.Invited,
            _ when presence.IsOnline(geo.Name) => V1.GeoLocationState.Online,
            _ => V1.GeoLocationState.Offline,
        },
        JoinedAt = geo.JoinedAt?.ToUnixTimeMilliseconds() ?? 0,
        LastSeen = presence.LastSeen(geo.Name)?.ToUnixTimeMilliseconds() ?? 0,
    };

    public static V1.PartitionStatus ToStatus(Partition partition)
    {
        var status = new V1.PartitionStatus
        {
            Partition = ToMessage(partition.Id.Topic, partition.Info),
            EdgeDurable = partition.EdgeDurable,
            Problem = partition.Problem ?? "",
        };
        if (partition.IsOpen)
        {
            LogOffsets offsets = partition.Log.Offsets;
            status.LogStart = offsets.Start;
            status.Mirrored = offsets.Mirrored;
            status.Durable = offsets.Durable;
            status.LogEnd = offsets.End;
            status.SizeBytes = partition.Log.SizeInBytes();
            status.Incarnation = partition.Log.Manifest.Incarnation.ToString("N");
        }

        return status;
    }

    /// <exception cref="ClusterException">The compression is unknown.</exception>
    public static TopicSettings FromMessage(V1.TopicSettings? settings)
    {
        if (settings is null)
            return new TopicSettings();

        string compression = settings.Compression.Length == 0 ? "none" : settings.Compression;
        if (!Enum.TryParse(compression, ignoreCase: true, out CompressionCodec codec) || !Enum.IsDefined(codec) || char.IsDigit(compression[0]))
            throw new ClusterException(ErrorCode.InvalidArgument, $"compression is none, gzip, snappy, lz4 or zstd, not '{compression}'");

        return new TopicSettings(settings.Mirror, codec);
    }

    private static V1.Partition ToMessage(string topic, PartitionInfo partition) => new()
    {
        Topic = topic,
        Partition_ = partition.Number,
        LeaderSpu = partition.LeaderSpu,
        GeoLocation = partition.GeoLocation ?? "",
    };
}
