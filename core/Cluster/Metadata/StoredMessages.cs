using System.Collections.Immutable;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using EdgeStream.Storage.Retention;
using Google.Protobuf.WellKnownTypes;

namespace EdgeStream.Cluster.Metadata;

/// <summary>The topology as the messages in which a cluster keeps it and its SC tells it to the SPUs; nothing is lost on the way there and back.</summary>
public static class StoredMessages
{
    /// <param name="map">The topology.</param>
    /// <param name="version">Its version.</param>
    /// <param name="term">Of the SC that tells it.</param>
    public static V1.TopologyState ToMessage(TopologyMap map, long version, long term) => new()
    {
        Version = version,
        Term = term,
        ClusterId = map.ClusterId,
        Spus = { map.Spus.Select(ToMessage) },
        GeoLocations = { map.GeoLocations.Values.Select(ToMessage) },
        Topics = { map.Topics.Values.Select(ToMessage) },
        RevokedNames = { map.RevokedNames },
    };

    public static TopologyMap FromMessage(V1.TopologyState message) => new(
        message.ClusterId,
        [.. message.Spus.Select(FromMessage)],
        message.GeoLocations.Select(FromMessage).ToImmutableSortedDictionary(geo => geo.Name, geo => geo, StringComparer.Ordinal),
        message.Topics.Select(FromMessage).ToImmutableSortedDictionary(topic => topic.Name, topic => topic, StringComparer.Ordinal))
    {
        RevokedNames = message.RevokedNames.ToImmutableSortedSet(StringComparer.Ordinal),
    };

    public static V1.StoredSpu ToMessage(SpuInfo spu)
    {
        var message = new V1.StoredSpu { Id = spu.Id, Endpoints = { spu.Endpoints } };
        if (spu.Zone is { } zone)
            message.Zone = zone;

        return message;
    }

    public static SpuInfo FromMessage(V1.StoredSpu message) => new(message.Id, [.. message.Endpoints], message.HasZone ? message.Zone : null);

    public static V1.StoredGeoLocation ToMessage(GeoLocationInfo geoLocation)
    {
        var message = new V1.StoredGeoLocation
        {
            Name = geoLocation.Name,
            JoinedAt = geoLocation.JoinedAt?.ToTimestamp(),
            Revoked = geoLocation.Revoked,
            CertificateUntil = geoLocation.CertificateUntil?.ToTimestamp(),
        };
        if (geoLocation.KeyFingerprint is { } key)
            message.KeyFingerprint = key;

        return message;
    }

    public static GeoLocationInfo FromMessage(V1.StoredGeoLocation message) => new(
        message.Name,
        message.JoinedAt?.ToDateTimeOffset(),
        message.Revoked,
        message.HasKeyFingerprint ? message.KeyFingerprint : null,
        message.CertificateUntil?.ToDateTimeOffset());

    public static V1.StoredTopic ToMessage(TopicInfo topic) => new()
    {
        Name = topic.Name,
        Settings = ToMessage(topic.Settings),
        Partitions = { topic.Partitions.Select(ToMessage) },
    };

    public static TopicInfo FromMessage(V1.StoredTopic message) =>
        new(message.Name, FromMessage(message.Settings), [.. message.Partitions.Select(FromMessage)]);

    public static V1.StoredInvite ToMessage(Invite invite) => new()
    {
        SecretHash = invite.SecretHash,
        GeoLocation = invite.GeoLocation,
        ExpiresAt = invite.ExpiresAt.ToTimestamp(),
        UsedAt = invite.UsedAt?.ToTimestamp(),
    };

    public static Invite FromMessage(V1.StoredInvite message) =>
        new(message.SecretHash, message.GeoLocation, message.ExpiresAt.ToDateTimeOffset(), message.UsedAt?.ToDateTimeOffset());

    private static V1.StoredTopicSettings ToMessage(TopicSettings settings)
    {
        var message = new V1.StoredTopicSettings
        {
            Mirror = settings.Mirror,
            Compression = (int)settings.Compression,
            AtEveryEdge = settings.AtEveryEdge,
            RetentionAge = settings.RetentionAge?.ToDuration(),
            Overflow = settings.Overflow == OverflowPolicy.Reject ? V1.Overflow.Reject : V1.Overflow.DropOldest,
            SyncInterval = settings.Sync == SyncPolicy.Commit ? null : settings.Sync.Interval.ToDuration(),
            Replicas = settings.Replicas,
            Down = settings.Down switch
            {
                DownTo.Chosen => V1.StoredDownTo.Chosen,
                DownTo.Everybody => V1.StoredDownTo.Everybody,
                _ => V1.StoredDownTo.Nobody,
            },
            TimeToLive = settings.TimeToLive?.ToDuration(),
        };
        if (settings.RetentionBytes is { } bytes)
            message.RetentionBytes = bytes;

        return message;
    }

    private static TopicSettings FromMessage(V1.StoredTopicSettings message) =>
        new(message.Mirror, (CompressionCodec)message.Compression, message.AtEveryEdge)
        {
            RetentionBytes = message.HasRetentionBytes ? message.RetentionBytes : null,
            RetentionAge = message.RetentionAge?.ToTimeSpan(),
            Overflow = message.Overflow == V1.Overflow.Reject ? OverflowPolicy.Reject : OverflowPolicy.DropOldest,
            Sync = message.SyncInterval is { } interval ? SyncPolicy.Every(interval.ToTimeSpan()) : SyncPolicy.Commit,
            Replicas = message.Replicas,
            Down = message.Down switch
            {
                V1.StoredDownTo.Chosen => DownTo.Chosen,
                V1.StoredDownTo.Everybody => DownTo.Everybody,
                _ => DownTo.Nobody,
            },
            TimeToLive = message.TimeToLive?.ToTimeSpan(),
        };

    private static V1.StoredPartition ToMessage(PartitionInfo partition)
    {
        var message = new V1.StoredPartition { Number = partition.Number, LeaderSpu = partition.LeaderSpu, LeaderEpoch = partition.LeaderEpoch };
        if (partition.GeoLocation is { } geoLocation)
            message.GeoLocation = geoLocation;

        if (partition.PinnedSpu is { } pinned)
            message.PinnedSpu = pinned;

        return message;
    }

    private static PartitionInfo FromMessage(V1.StoredPartition message) => new(
        message.Number,
        message.LeaderSpu,
        message.HasGeoLocation ? message.GeoLocation : null,
        message.LeaderEpoch,
        message.HasPinnedSpu ? message.PinnedSpu : null);
}
