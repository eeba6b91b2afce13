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

/// <summary>Which geo-locations a topic's records flow down to.</summary>
public enum DownTo
{
    /// <summary>None: it is no topic that flows down.</summary>
    Nobody,

    /// <summary>Those that it has a partition for. At an edge: this one.</summary>
    Chosen,

    /// <summary>Each that the hub knows, those that come later included.</summary>
    Everybody,
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

    /// <summary>At how many places each record is stored; 0, in a request only, for as many as the SPU's engine has by default.</summary>
    public int Replicas { get; init; } = 1;

    /// <summary>
    /// At a hub: one partition for each geo-location, which producers at the hub fill and that geo-location copies. At an edge:
    /// the copy, which nobody else appends to.
    /// </summary>
    public DownTo Down { get; init; }

    /// <summary>Of a topic that flows down: how long after its timestamp a record counts, by the hub's clock; null for ever.</summary>
    public TimeSpan? TimeToLive { get; init; }

    public bool IsDown => Down != DownTo.Nobody;

    /// <summary>
    /// What the topic's logs are told. At a hub the mirror's records have arrived, so they need not be kept for one; those that
    /// flow down have not.
    /// </summary>
    public LogSettings ToLogSettings(bool isHub) => new()
    {
        RetentionBytes = RetentionBytes,
        RetentionAge = RetentionAge,
        Overflow = Overflow,
        Sync = Sync,
        IsMirrored = isHub ? IsDown : Mirror,
    };
}

/// <summary>Where a partition lives.</summary>
/// <param name="Number">From 0, dense.</param>
/// <param name="LeaderSpu">The SPU that takes its records.</param>
/// <param name="GeoLocation">At a hub: whose log it is a copy of, or, where the topic flows down, whose copy it is for.</param>
/// <param name="LeaderEpoch">Raised each time that another SPU leads it: who comes with a lower one is late.</param>
/// <param name="PinnedSpu">The SPU that was chosen for it by hand, and leads it whenever it is there; null for any.</param>
public sealed record PartitionInfo(int Number, int LeaderSpu, string? GeoLocation = null, long LeaderEpoch = 0, int? PinnedSpu = null)
{
    /// <summary>The <see cref="LeaderSpu"/> of one that is still to be placed.</summary>
    public const int NoLeader = -1;
}

public sealed record TopicInfo(string Name, TopicSettings Settings, ImmutableArray<PartitionInfo> Partitions)
{
    /// <summary>At a hub: the partition of a geo-location.</summary>
    public PartitionInfo? PartitionOf(string geoLocation) =>
        Partitions.FirstOrDefault(partition => partition.GeoLocation == geoLocation);

    /// <summary>The partition of a number, which mostly lies there.</summary>
    public PartitionInfo? Find(int number) => number >= 0 && number < Partitions.Length && Partitions[number].Number == number
        ? Partitions[number]
        : Partitions.FirstOrDefault(partition => partition.Number == number);

    /// <summary>Whether a partition's records were stamped elsewhere: those of an edge at the hub, or what has flown down at an edge.</summary>
    public bool IsCopy(PartitionInfo partition, bool isHub) => isHub ? partition.GeoLocation is not null && !Settings.IsDown : Settings.IsDown;

    /// <summary>Not their count: after the metadata was rebuilt, a number may be missing in between.</summary>
    public int NextPartitionNumber => Partitions.Select(partition => partition.Number + 1).DefaultIfEmpty().Max();
}

/// <summary>A streaming processing unit.</summary>
/// <param name="Id">Its number in the cluster.</param>
/// <param name="Endpoints">Where clients reach it; empty for one in the same process as the SC.</param>
/// <param name="Zone">Where it stands, such as a rack; null where nobody has said.</param>
public sealed record SpuInfo(int Id, ImmutableArray<string> Endpoints, string? Zone = null);

/// <summary>An edge cluster in a hub's topology.</summary>
/// <param name="Name">Its name, also in its certificate.</param>
/// <param name="JoinedAt">When it redeemed its token; null while it is only invited.</param>
/// <param name="Revoked">Its certificate is not accepted any more.</param>
/// <param name="KeyFingerprint">
/// SHA-256 (hex) of the one public key whose certificates are accepted, that of the last join; null after the metadata was
/// lost: then any that the CA signed.
/// </param>
/// <param name="CertificateUntil">When the newest certificate issued ends; null where that is not known.</param>
public sealed record GeoLocationInfo(
    string Name, DateTimeOffset? JoinedAt, bool Revoked, string? KeyFingerprint = null, DateTimeOffset? CertificateUntil = null)
{
    /// <summary>What is known of one that the metadata has lost; as of those that are rebuilt from their partitions.</summary>
    public static GeoLocationInfo Lost(string name) => new(name, DateTimeOffset.UnixEpoch, Revoked: false);
}

/// <summary>All that a cluster consists of, at one instant. Replaced as a whole, never changed.</summary>
public sealed record TopologyMap(
    string ClusterId,
    ImmutableArray<SpuInfo> Spus,
    ImmutableSortedDictionary<string, GeoLocationInfo> GeoLocations,
    ImmutableSortedDictionary<string, TopicInfo> Topics)
{
    /// <summary>Of programs and SPUs: the names whose certificates are refused.</summary>
    public ImmutableSortedSet<string> RevokedNames { get; init; } = ImmutableSortedSet.Create<string>(StringComparer.Ordinal);

    /// <summary>
    /// Whether an SC has told it. It has not where an SPU has just started, or where another process was registered in its place: such a map
    /// names no SPU, and whoever asks has to ask another.
    /// </summary>
    public bool IsTold => ClusterId.Length > 0 && !Spus.IsEmpty;

    /// <summary>Of a node that was not told yet what there is.</summary>
    public static TopologyMap Unknown { get; } = new(
        "", [], ImmutableSortedDictionary.Create<string, GeoLocationInfo>(StringComparer.Ordinal),
        ImmutableSortedDictionary.Create<string, TopicInfo>(StringComparer.Ordinal));
}
