using EdgeStream.Cluster.Topology;

namespace EdgeStream.Cluster.Controller;

/// <summary>An SPU that is there and can lead partitions.</summary>
/// <param name="Id">Its number in the cluster.</param>
/// <param name="Zone">Where it stands, such as a rack; null where nobody has said.</param>
/// <param name="NatsServer">The name of the NATS server that it is connected to; null where that is not known.</param>
public sealed record AliveSpu(int Id, string? Zone = null, string? NatsServer = null);

/// <summary>A partition is to be led by another SPU.</summary>
/// <param name="Partition">Which.</param>
/// <param name="Spu">Who leads it from now on.</param>
/// <param name="Epoch">The leader epoch with which it does, one above that before.</param>
public sealed record PartitionMove(PartitionId Partition, int Spu, long Epoch);

/// <summary>
/// Which SPU leads which partition. Pure: the same question has the same answer, so it makes no difference which SC asks it, or how often.
/// </summary>
/// <remarks>
/// What moves is a unit: all partitions of a geo-location, whose uplink goes to one SPU, or one partition of any other kind. Load is counted
/// in partitions. A unit stays where it is, unless its SPU is gone, it was pinned elsewhere, or its going makes the load more even. Of SPUs
/// with the same load it goes to one at whose NATS server its stream is led, then to the zone with the least load, then to the lowest id.
/// </remarks>
public static class Placement
{
    /// <summary>What has to move, by topic and partition.</summary>
    /// <param name="alive">The SPUs that are there. Without any nothing moves.</param>
    /// <param name="topics">All topics, as they are.</param>
    /// <param name="rebalance">
    /// Whether units of SPUs that are there move, too: for even load, and to those that they are pinned to. Otherwise only what nobody leads.
    /// </param>
    /// <param name="streamLeader">The NATS server that leads a partition's stream; null, or giving null, where that is not known.</param>
    public static IReadOnlyList<PartitionMove> Plan(
        IReadOnlyCollection<AliveSpu> alive, IEnumerable<TopicInfo> topics, bool rebalance = true, Func<PartitionId, string?>? streamLeader = null)
    {
        if (alive.Count == 0)
            return [];

        var layout = new Layout(alive);
        List<Unit> units = UnitsOf(topics, streamLeader);
        List<Unit> homeless = [];
        foreach (Unit unit in units)
        {
            int? home = layout.HomeOf(unit), pinned = layout.PinnedOf(unit);
            if ((rebalance || home is null ? pinned ?? home : home) is { } spu)
                layout.Put(unit, spu, isFixed: spu == pinned);
            else
                homeless.Add(unit);
        }

        // The large ones first: the small ones even out what they leave.
        foreach (Unit unit in homeless.OrderByDescending(unit => unit.Size))
            layout.Put(unit, layout.LeastLoaded(unit.StreamLeader), isFixed: false);

        if (rebalance)
            layout.Even();

        return
        [
            .. units.SelectMany(unit => unit.Partitions.Where(one => one.Info.LeaderSpu != unit.Spu).Select(one => (one.Id, one.Info, unit.Spu)))
                .OrderBy(one => one.Id.Topic, StringComparer.Ordinal).ThenBy(one => one.Id.Partition)
                .Select(one => new PartitionMove(one.Id, one.Spu, one.Info.LeaderEpoch + 1)),
        ];
    }

    /// <summary>
    /// Gives new partitions of one topic their leaders: the SPU that they are pinned to; that of the geo-location's other partitions; the
    /// one that they name already, which is a wish; or that with the least load.
    /// </summary>
    /// <exception cref="ClusterException">There is no SPU.</exception>
    public static IReadOnlyList<PartitionInfo> Place(TopologyMap map, IReadOnlyCollection<AliveSpu> alive, IEnumerable<PartitionInfo> partitions)
    {
        Layout layout = LayoutOf(map, alive);
        var placed = new List<PartitionInfo>();
        foreach (PartitionInfo partition in partitions)
        {
            int spu = IfAlive(partition.PinnedSpu) ?? LeaderOf(map, alive, partition.GeoLocation) ?? IfAlive(partition.LeaderSpu)
                ?? layout.LeastLoaded(streamLeader: null);
            layout.Add(spu);
            placed.Add(partition with { LeaderSpu = spu });
        }

        return placed;

        int? IfAlive(int? spu) => alive.Any(one => one.Id == spu) ? spu : null;
    }

    private static Layout LayoutOf(TopologyMap map, IReadOnlyCollection<AliveSpu> alive)
    {
        if (alive.Count == 0)
            throw new ClusterException(ErrorCode.Unavailable, "no SPU is connected, so nobody could lead the partition; start one with 'edgestream spu', and try again");

        var layout = new Layout(alive);
        foreach (PartitionInfo partition in map.Topics.Values.SelectMany(topic => topic.Partitions))
            layout.Add(partition.LeaderSpu);

        return layout;
    }

    private static int? LeaderOf(TopologyMap map, IReadOnlyCollection<AliveSpu> alive, string? geoLocation) => geoLocation is null
        ? null
        : map.Topics.Values.SelectMany(topic => topic.Partitions)
            .Where(partition => partition.GeoLocation == geoLocation && alive.Any(spu => spu.Id == partition.LeaderSpu))
            .Select(partition => (int?)partition.LeaderSpu)
            .FirstOrDefault();

    /// <summary>In an order that does not depend on that of the topics.</summary>
    private static List<Unit> UnitsOf(IEnumerable<TopicInfo> topics, Func<PartitionId, string?>? streamLeader) =>
    [
        .. topics
            .SelectMany(topic => topic.Partitions.Select(info => new Member(new PartitionId(topic.Name, info.Number), info)))
            .OrderBy(one => one.Id.Topic, StringComparer.Ordinal).ThenBy(one => one.Id.Partition)
            .GroupBy(one => one.Info.GeoLocation is { } geo ? (Geo: geo, default(PartitionId)) : (Geo: null, one.Id))
            .Select(group => new Unit([.. group], streamLeader)),
    ];

    private readonly record struct Member(PartitionId Id, PartitionInfo Info);

    /// <summary>Partitions that are led by the same SPU.</summary>
    private sealed class Unit(Member[] partitions, Func<PartitionId, string?>? streamLeader)
    {
        public Member[] Partitions => partitions;

        public int Size => partitions.Length;

        /// <summary>The NATS server that leads the most of its streams; null where none is known.</summary>
        public string? StreamLeader { get; } = streamLeader is null
            ? null
            : partitions.Select(one => streamLeader(one.Id)).OfType<string>().CountBy(server => server)
                .OrderByDescending(server => server.Value).ThenBy(server => server.Key, StringComparer.Ordinal)
                .Select(server => server.Key).FirstOrDefault();

        /// <summary>Who leads it by this plan.</summary>
        public int Spu { get; set; }

        public bool Moves => Array.Exists(partitions, one => one.Info.LeaderSpu != Spu);
    }

    /// <summary>What each SPU leads, while it is thought about.</summary>
    private sealed class Layout(IEnumerable<AliveSpu> alive)
    {
        private readonly AliveSpu[] _spus = [.. alive.OrderBy(spu => spu.Id)];
        private readonly Dictionary<int, int> _loads = alive.ToDictionary(spu => spu.Id, _ => 0);
        private readonly Dictionary<int, List<Unit>> _movable = alive.ToDictionary(spu => spu.Id, _ => new List<Unit>());

        /// <summary>The one of those that are there that leads the most of it.</summary>
        public int? HomeOf(Unit unit) => unit.Partitions.Where(one => _loads.ContainsKey(one.Info.LeaderSpu)).CountBy(one => one.Info.LeaderSpu)
            .OrderByDescending(spu => spu.Value).ThenBy(spu => spu.Key)
            .Select(spu => (int?)spu.Key).FirstOrDefault();

        /// <summary>The first that one of its partitions is pinned to, of those that are there.</summary>
        public int? PinnedOf(Unit unit) => unit.Partitions.Select(one => one.Info.PinnedSpu).FirstOrDefault(spu => spu is { } id && _loads.ContainsKey(id));

        /// <summary>Counts a partition, where its SPU is there.</summary>
        public void Add(int spu)
        {
            if (_loads.TryGetValue(spu, out int load))
                _loads[spu] = load + 1;
        }

        public void Put(Unit unit, int spu, bool isFixed)
        {
            unit.Spu = spu;
            _loads[spu] += unit.Size;
            if (!isFixed)
                _movable[spu].Add(unit);
        }

        public int LeastLoaded(string? streamLeader) => _spus
            .OrderBy(spu => _loads[spu.Id])
            .ThenBy(spu => streamLeader is not null && spu.NatsServer == streamLeader ? 0 : 1)
            .ThenBy(spu => LoadOfZone(spu.Zone))
            .ThenBy(spu => spu.Id)
            .First().Id;

        /// <summary>Moves units from those that lead the most to those that lead the least, as long as that makes them more alike.</summary>
        public void Even()
        {
            while (NextMove() is var (unit, to))
            {
                _loads[unit.Spu] -= unit.Size;
                _movable[unit.Spu].Remove(unit);
                Put(unit, to.Id, isFixed: false);
            }
        }

        private (Unit Unit, AliveSpu To)? NextMove()
        {
            AliveSpu to = _spus.OrderBy(spu => _loads[spu.Id]).ThenBy(spu => LoadOfZone(spu.Zone)).ThenBy(spu => spu.Id).First();
            foreach (AliveSpu from in _spus.OrderByDescending(spu => _loads[spu.Id]).ThenBy(spu => spu.Id))
            {
                // A unit that is as large as the difference would only change sides. The nearest to half of it leaves the least.
                int difference = _loads[from.Id] - _loads[to.Id];
                Unit? best = _movable[from.Id].Where(unit => unit.Size < difference)
                    .OrderBy(unit => Math.Abs((2 * unit.Size) - difference))
                    .ThenBy(unit => unit.Moves ? 0 : 1)
                    .ThenBy(unit => unit.StreamLeader is not null && unit.StreamLeader == to.NatsServer ? 0 : 1)
                    .FirstOrDefault();
                if (best is not null)
                    return (best, to);
            }

            return null;
        }

        /// <summary>For each of its SPUs, so that a zone with more of them gets more.</summary>
        private double LoadOfZone(string? zone) => _spus.Where(spu => spu.Zone == zone).Average(spu => _loads[spu.Id]);
    }
}
