using System.Collections.Immutable;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using EdgeStream.Storage.Retention;

namespace EdgeStream.Cluster.Topology;

/// <summary>One partition of one topic.</summary>
public readonly record struct PartitionId(string Topic, int Partition)
{
    public override string ToString() => $"{Topic}/{Partition}";
}

/// <summary>What can be chosen for a topic.</summary>
/// <param name="Mirror">At an edge: copied to the hub. At a hub: each partition is the copy of one geo-location's.</param>
/// <param name="Compression">How sources and clients compress what they produce.</param>
/// <param name="AtEveryEdge">
/// At a hub: the mirror topic was made here, so each edge is told to have it. False for one that an edge has brought: that is
/// the business of those who have it.
/// </param>
public sealed record TopicSettings(bool Mirror = false, CompressionCodec Compression = CompressionCodec.None, bool AtEveryEdge = false)
{
    /// <summary>The most that each partition keeps, in bytes; null where only the storage budget bounds it.</summary>
    public long? RetentionBytes { get; init; }

    /// <summary>How long records are kept; null for as long as there is room.</summary>
    public TimeSpan? RetentionAge { get; init; }

    public OverflowPolicy Overflow { get; init; }

    public SyncPolicy Sync { get; init; }

    /// <summary>What the topic's logs are told. At a hub the mirror's records have arrived, so they need not be kept for one.</summary>
    public LogSettings ToLogSettings(bool isHub) => new()
    {
        RetentionBytes = RetentionBytes,
        RetentionAge = RetentionAge,
        Overflow = Overflow,
        Sync = Sync,
        IsMirrored = Mirror && !isHub,
    };
}

/// <summary>Where a partition lives.</summary>
/// <param name="Number">From 0, dense.</param>
/// <param name="LeaderSpu">The SPU that takes its records.</param>
/// <param name="GeoLocation">At a hub: whose log it is a copy of.</param>
public sealed record PartitionInfo(int Number, int LeaderSpu, string? GeoLocation = null);

public sealed record TopicInfo(string Name, TopicSettings Settings, ImmutableArray<PartitionInfo> Partitions)
{
    /// <summary>At a hub: the partition that a geo-location fills.</summary>
    public PartitionInfo? PartitionOf(string geoLocation) =>
        Partitions.FirstOrDefault(partition => partition.GeoLocation == geoLocation);
}

/// <summary>A streaming processing unit.</summary>
/// <param name="Id">Its number in the cluster.</param>
/// <param name="Endpoints">Where clients reach it; empty for one in the same process as the SC.</param>
public sealed record SpuInfo(int Id, ImmutableArray<string> Endpoints);

/// <summary>An edge cluster in a hub's topology.</summary>
/// <param name="Name">Its name, also in its certificate.</param>
/// <param name="JoinedAt">When it redeemed its token; null while it is only invited.</param>
/// <param name="Revoked">Its certificate is not accepted any more.</param>
/// <param name="CertificateSerial">
/// The one certificate that is accepted, the newest issued; null after the metadata was lost: then any that the CA signed.
/// </param>
public sealed record GeoLocationInfo(string Name, DateTimeOffset? JoinedAt, bool Revoked, string? CertificateSerial = null);

/// <summary>All that a cluster consists of, at one instant. Replaced as a whole, never changed.</summary>
public sealed record TopologyMap(
    string ClusterId,
    ImmutableArray<SpuInfo> Spus,
    ImmutableSortedDictionary<string, GeoLocationInfo> GeoLocations,
    ImmutableSortedDictionary<string, TopicInfo> Topics);
