using System.Buffers.Binary;
using System.Collections.Frozen;
using System.Security.Cryptography;
using System.Text;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Topology;

namespace EdgeStream.Mirror.Hub;

/// <summary>
/// Which SPU serves a geo-location: the one that leads its partitions. While it has none, its name and the SPUs that there are decide, by
/// rendezvous hashing: all who are asked say the same, and few move when an SPU comes or goes. Safe from any thread.
/// </summary>
/// <param name="cluster">Has the SPUs and who leads what.</param>
/// <param name="spu">The SPU in this process; null at an SC, which serves no geo-location.</param>
/// <param name="controllers">Where the SCs are reached; none where SC and SPU are one process.</param>
public sealed class GeoLocationHomes(IClusterView cluster, int? spu, IReadOnlyList<string> controllers)
{
    private volatile Leaders? _leaders;

    /// <summary>Who leads the partitions of each geo-location that has any, in one map.</summary>
    private sealed record Leaders(TopologyMap Map, FrozenDictionary<string, int> ByGeoLocation)
    {
        public static Leaders Of(TopologyMap map)
        {
            var leaders = new Dictionary<string, int>(StringComparer.Ordinal);
            foreach (PartitionInfo partition in map.Topics.Values.SelectMany(topic => topic.Partitions))
            {
                if (partition is { GeoLocation: { } geoLocation, LeaderSpu: not PartitionInfo.NoLeader })
                    leaders.TryAdd(geoLocation, partition.LeaderSpu);
            }

            return new Leaders(map, leaders.ToFrozenDictionary(StringComparer.Ordinal));
        }
    }

    /// <summary>Where a geo-location's edge is to connect, and where it can ask the next time.</summary>
    /// <exception cref="ClusterException">No SPU serves it at the moment.</exception>
    public V1.LocateResponse Locate(string geoLocation)
    {
        TopologyMap map = cluster.Current;
        SpuInfo home = Find(map, geoLocation);
        return new V1.LocateResponse
        {
            Endpoint = home.Id == spu ? "" : EndpointOf(home) ?? throw Nobody(geoLocation),
            Endpoints = { controllers.Concat(map.Spus.SelectMany(known => known.Endpoints)).Distinct(StringComparer.Ordinal) },
        };
    }

    /// <summary>Whether the SPU in this process serves a geo-location now.</summary>
    public bool IsHere(string geoLocation) => spu is not null && TryFind(cluster.Current, geoLocation)?.Id == spu;

    /// <summary>For calls that only the SPU of the geo-location serves; where they last, again when the topology has changed.</summary>
    /// <exception cref="ClusterException">Another SPU serves it, or none at the moment.</exception>
    public void CheckIsHere(string geoLocation)
    {
        TopologyMap map = cluster.Current;

        // While it has no partition any SPU will do: who sent the edge here may know better which are there.
        if (spu is not null && !map.Spus.IsEmpty && !LeadersOf(map).ByGeoLocation.ContainsKey(geoLocation))
            return;

        SpuInfo home = Find(map, geoLocation);
        if (home.Id == spu)
            return;

        throw EndpointOf(home) is { } endpoint
            ? ClusterException.NotLeader(
                $"geo-location '{geoLocation}' is served by SPU {home.Id} at {endpoint}; an edge that does not go there by itself is of an old "
                + "version: update it")
            : Nobody(geoLocation);
    }

    private SpuInfo Find(TopologyMap map, string geoLocation) => TryFind(map, geoLocation) ?? throw Nobody(geoLocation);

    private SpuInfo? TryFind(TopologyMap map, string geoLocation)
    {
        // A hub on one machine, which need not look through its topics.
        if (map.Spus is [var only] && only.Id == spu)
            return only;

        return LeadersOf(map).ByGeoLocation.TryGetValue(geoLocation, out int leader)
            ? map.Spus.FirstOrDefault(one => one.Id == leader)
            : ChoicesOf(map).MaxBy(one => WeightOf(geoLocation, one.Id));
    }

    private Leaders LeadersOf(TopologyMap map) =>
        _leaders is { } known && ReferenceEquals(known.Map, map) ? known : _leaders = Leaders.Of(map);

    /// <summary>Those that are there. An SPU that has just started knows of none.</summary>
    private IEnumerable<SpuInfo> ChoicesOf(TopologyMap map)
    {
        SpuInfo[] online = [.. map.Spus.Where(one => cluster.StatusOf(one.Id).Online)];
        return online.Length > 0 ? online : map.Spus;
    }

    private static ulong WeightOf(string geoLocation, int spu) =>
        BinaryPrimitives.ReadUInt64BigEndian(SHA256.HashData(Encoding.UTF8.GetBytes($"{geoLocation}/{spu}")));

    private static string? EndpointOf(SpuInfo spu) => spu.Endpoints.IsEmpty ? null : spu.Endpoints[0];

    private static ClusterException Nobody(string geoLocation) =>
        new(ErrorCode.Unavailable, $"no SPU serves geo-location '{geoLocation}' at the moment; try again");
}
