using System.Collections.Immutable;
using CsCheck;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Topology;

namespace EdgeStream.Cluster.Tests.Controller;

public sealed class PlacementTests
{
    // SPU ids up to 6, of which those up to 4 can be there; -1 leads nothing.
    private static readonly Gen<PartitionInfo> AnyPartition = Gen.Select(
        Gen.Int[-1, 6], OneOf(null, null, "north", "south", "west"), Gen.Long[0, 9],
        (leader, geo, epoch) => new PartitionInfo(0, leader, geo, epoch));

    private static readonly Gen<TopicInfo[]> PinnedTopics = TopicsOf(
        Gen.Select(AnyPartition, Gen.Int[0, 6], Gen.Bool, (partition, pinned, isPinned) =>
            partition.GeoLocation is null && isPinned ? partition with { PinnedSpu = pinned } : partition));

    private static readonly Gen<TopicInfo[]> SingleTopics = TopicsOf(AnyPartition.Select(partition => partition with { GeoLocation = null }));

    private static readonly Gen<AliveSpu[]> AnySpus = Gen.Select(OneOf(null, "a", "b"), OneOf(null, "n1", "n2"), (zone, server) => (zone, server))
        .Array[1, 5].Select(spus => spus.Select((spu, id) => new AliveSpu(id, spu.zone, spu.server)).ToArray());

    [Fact]
    public void All_partitions_are_led_by_spus_that_are_there_and_no_geo_location_by_two() => Gen.Select(AnySpus, PinnedTopics, Gen.Bool).Sample(
        (spus, topics, rebalance) =>
        {
            TopicInfo[] after = Apply(topics, Placement.Plan(spus, topics, rebalance, Streams));
            PartitionInfo[] all = [.. after.SelectMany(topic => topic.Partitions)];
            Assert.All(all, partition => Assert.Contains(spus, spu => spu.Id == partition.LeaderSpu));
            Assert.All(all.Where(one => one.GeoLocation is not null).GroupBy(one => one.GeoLocation), geo => Assert.Single(geo.Select(one => one.LeaderSpu).Distinct()));
            Assert.Empty(Placement.Plan(spus, after, rebalance, Streams));
        },
        iter: 2_000);

    [Fact]
    public void Load_differs_by_a_unit_at_most_and_pinned_partitions_are_where_they_belong() => Gen.Select(AnySpus, PinnedTopics, Gen.Bool).Sample(
        (spus, topics, areStreamsKnown) =>
        {
            TopicInfo[] after = Apply(topics, Placement.Plan(spus, topics, streamLeader: areStreamsKnown ? Streams : null));
            PartitionInfo[] all = [.. after.SelectMany(topic => topic.Partitions)];
            Assert.All(all, partition => Assert.True(
                partition.PinnedSpu is not { } pinned || spus.All(spu => spu.Id != pinned) || partition.LeaderSpu == pinned));
            int largest = all.GroupBy(one => one.GeoLocation).Where(geo => geo.Key is not null).Select(geo => geo.Count()).Append(1).Max();
            int least = spus.Min(Load);

            // What is pinned cannot go: only who leads something else can be told to have too much.
            foreach (AliveSpu spu in spus.Where(spu => all.Any(one => one.LeaderSpu == spu.Id && one.PinnedSpu != spu.Id)))
                Assert.InRange(Load(spu) - least, 0, Math.Max(largest, 1));

            int Load(AliveSpu spu) => all.Count(partition => partition.LeaderSpu == spu.Id);
        },
        iter: 2_000);

    [Fact]
    public void No_more_is_moved_than_even_load_takes() => Gen.Select(AnySpus, SingleTopics).Sample(
        (spus, topics) =>
        {
            PartitionInfo[] all = [.. topics.SelectMany(topic => topic.Partitions)];
            int[] loads = [.. spus.Select(spu => all.Count(one => one.LeaderSpu == spu.Id)).OrderDescending()];
            int homeless = all.Length - loads.Sum();
            int tooMuch = loads.Select((load, i) => Math.Max(0, load - (all.Length / spus.Length) - (i < all.Length % spus.Length ? 1 : 0))).Sum();
            Assert.Equal(homeless + tooMuch, Placement.Plan(spus, topics).Count);
        },
        iter: 2_000);

    [Fact]
    public void Without_rebalancing_only_what_nobody_leads_moves() => Gen.Select(AnySpus, PinnedTopics).Sample(
        (spus, topics) =>
        {
            IReadOnlyList<PartitionMove> moves = Placement.Plan(spus, topics, rebalance: false);
            foreach (PartitionMove move in moves)
            {
                PartitionInfo before = topics.Single(topic => topic.Name == move.Partition.Topic).Partitions[move.Partition.Partition];
                Assert.Equal(before.LeaderEpoch + 1, move.Epoch);
                Assert.NotEqual(before.LeaderSpu, move.Spu);

                // Others of its geo-location may be led by somebody who is there.
                Assert.True(before.GeoLocation is not null || spus.All(spu => spu.Id != before.LeaderSpu));
            }
        },
        iter: 2_000);

    [Fact]
    public void The_same_question_has_the_same_answer() => Gen.Select(AnySpus, PinnedTopics, Gen.Int).Sample(
        (spus, topics, seed) =>
        {
            var random = new Random(seed);
            AliveSpu[] others = [.. spus];
            TopicInfo[] otherwise = [.. topics];
            random.Shuffle(others);
            random.Shuffle(otherwise);
            Assert.Equal(Placement.Plan(spus, topics, streamLeader: Streams), Placement.Plan(others, otherwise, streamLeader: Streams));
        },
        iter: 2_000);

    [Fact]
    public void Dead_spu_leaves_what_it_led_to_all_others_and_nothing_else_moves()
    {
        TopicInfo[] topics = [Topic("t", Enumerable.Range(0, 12).Select(i => (i % 4, (string?)null)))];
        IReadOnlyList<PartitionMove> moves = Placement.Plan([new(0), new(1), new(3)], topics);
        Assert.Equal([2, 6, 10], moves.Select(move => move.Partition.Partition));
        Assert.Equal([0, 1, 3], moves.Select(move => move.Spu));
    }

    [Fact]
    public void Newcomer_gets_its_share_and_a_geo_location_as_a_whole()
    {
        TopicInfo[] topics =
        [
            Topic("down", [(0, "north"), (1, "south")]), Topic("mirror", [(0, "north"), (1, "south")]), Topic("t", [(0, null), (1, null), (0, null), (1, null)]),
        ];
        IReadOnlyList<PartitionMove> moves = Placement.Plan([new(0), new(1), new(2)], topics);
        Assert.Equal([new("down", 0), new("mirror", 0), new("t", 1)], moves.Select(move => move.Partition));
        Assert.Equal([2, 2, 0], moves.Select(move => move.Spu));
    }

    [Fact]
    public void Of_spus_with_the_same_load_the_one_near_the_stream_leads_then_the_emptier_zone()
    {
        TopicInfo[] topics = [Topic("t", [(9, null)])];
        AliveSpu[] spus = [new(0, "a", "n1"), new(1, "b", "n2"), new(2, "b", "n3")];
        Assert.Equal(1, Assert.Single(Placement.Plan(spus, topics, streamLeader: _ => "n2")).Spu);
        Assert.Equal(0, Assert.Single(Placement.Plan(spus, topics, streamLeader: _ => "n9")).Spu);

        // As a new partition does: zone a leads two with its two SPUs.
        PartitionInfo placed = Assert.Single(Placement.Place(Map(Topic("t", [(0, null), (3, null)])), [.. spus, new(3, "a")], [new(0, PartitionInfo.NoLeader)]));
        Assert.Equal(1, placed.LeaderSpu);
    }

    [Fact]
    public void Newcomer_gets_first_what_is_led_at_its_nats_server()
    {
        TopicInfo[] topics = [Topic("t", [(0, null), (0, null), (0, null), (0, null)])];
        AliveSpu[] spus = [new(0, NatsServer: "n1"), new(1, NatsServer: "n2")];
        IReadOnlyList<PartitionMove> moves = Placement.Plan(spus, topics, streamLeader: id => id.Partition is 1 or 3 ? "n2" : "n1");
        Assert.Equal([1, 3], moves.Select(move => move.Partition.Partition));
        Assert.All(moves, move => Assert.Equal((1, 1), (move.Spu, move.Epoch)));
    }

    [Fact]
    public void Nothing_moves_for_the_sake_of_its_stream_alone()
    {
        TopicInfo[] topics = [Topic("t", [(0, null), (1, null), (0, "north")]), Topic("u", [(1, "south")])];
        Assert.Empty(Placement.Plan([new(0, NatsServer: "n1"), new(1, NatsServer: "n2")], topics, streamLeader: id => id.Partition == 0 ? "n2" : "n1"));
    }

    [Fact]
    public void Where_streams_are_led_costs_no_move_and_no_even_load() => Gen.Select(AnySpus, SingleTopics).Sample(
        (spus, topics) =>
        {
            IReadOnlyList<PartitionMove> near = Placement.Plan(spus, topics, streamLeader: Streams), anywhere = Placement.Plan(spus, topics);
            Assert.Equal(anywhere.Count, near.Count);
            TopicInfo[] after = Apply(topics, near);
            Assert.InRange(spus.Max(spu => LoadOf(after, spu)) - spus.Min(spu => LoadOf(after, spu)), 0, 1);
        },
        iter: 2_000);

    [Fact]
    public void Spu_that_goes_and_comes_back_moves_what_it_led_and_what_makes_its_share_again() => Gen.Select(AnySpus.Where(spus => spus.Length > 1), SingleTopics).Sample(
        (spus, topics) =>
        {
            TopicInfo[] even = Apply(topics, Placement.Plan(spus, topics));
            AliveSpu[] left = [.. spus.Skip(1)];
            IReadOnlyList<PartitionMove> moves = Placement.Plan(left, even, rebalance: false);
            TopicInfo[] without = Apply(even, moves);
            Assert.All(moves, move => Assert.Equal(spus[0].Id, LeaderOf(even, move.Partition)));
            Assert.Equal(LoadOf(even, spus[0]), moves.Count);

            // Back again, it takes no more than what it lacks, and nobody else gets anything.
            IReadOnlyList<PartitionMove> back = Placement.Plan(spus, without);
            Assert.All(back, move => Assert.Equal(spus[0].Id, move.Spu));
            int all = even.Sum(topic => topic.Partitions.Length);
            Assert.InRange(back.Count, all / spus.Length, (all + spus.Length - 1) / spus.Length);
        },
        iter: 2_000);

    [Fact]
    public void Geo_location_whose_spu_is_gone_goes_as_a_whole_and_others_stay()
    {
        TopicInfo[] topics = [Topic("a", [(0, "north"), (1, "south"), (2, "west")]), Topic("b", [(0, "north"), (1, "south")]), Topic("t", [(2, null), (2, null)])];
        IReadOnlyList<PartitionMove> moves = Placement.Plan([new(1), new(2)], topics, rebalance: false);
        Assert.Equal([new("a", 0), new("b", 0)], moves.Select(move => move.Partition));
        Assert.Equal([1, 1], moves.Select(move => move.Spu));
    }

    [Fact]
    public void Pinned_partition_goes_elsewhere_only_while_its_spu_is_away()
    {
        TopicInfo topic = Topic("t", [(1, null), (0, null)]);
        TopicInfo[] pinned = [topic with { Partitions = [.. topic.Partitions.Select(partition => partition with { PinnedSpu = 1 })] }];
        TopicInfo[] away = Apply(pinned, Placement.Plan([new(0)], pinned));
        Assert.Equal([0, 0], away[0].Partitions.Select(partition => partition.LeaderSpu));

        // It comes back at once, but gets nothing before it has been there for a while.
        Assert.Empty(Placement.Plan([new(0), new(1)], away, rebalance: false));
        TopicInfo[] back = Apply(away, Placement.Plan([new(0), new(1)], away));
        Assert.Equal([1, 1], back[0].Partitions.Select(partition => partition.LeaderSpu));
        Assert.Equal([2, 1], back[0].Partitions.Select(partition => partition.LeaderEpoch));
    }

    [Fact]
    public void New_partitions_are_spread_and_pinned_ones_are_where_they_were_wanted()
    {
        AliveSpu[] spus = [new(0), new(1), new(2)];
        TopologyMap map = Map(Topic("other", [(0, null), (1, "north")]));
        IReadOnlyList<PartitionInfo> placed = Placement.Place(
            map, spus,
            [new(0, -1, PinnedSpu: 1), new(1, -1, PinnedSpu: 7), new(2, -1), new(3, 0, "north"), new(4, 0, "south")]);
        Assert.Equal([1, 2, 0, 1, 0], placed.Select(partition => partition.LeaderSpu));
        Assert.Equal([1, 7, null, null, null], placed.Select(partition => partition.PinnedSpu));
        Assert.Equal(ErrorCode.Unavailable, Assert.Throws<ClusterException>(() => Placement.Place(map, [], [new(0, -1)])).Code);
        Assert.Empty(Placement.Plan([], map.Topics.Values));
    }

    private static int LeaderOf(TopicInfo[] topics, PartitionId id) => topics.Single(topic => topic.Name == id.Topic).Partitions[id.Partition].LeaderSpu;

    private static int LoadOf(TopicInfo[] topics, AliveSpu spu) => topics.Sum(topic => topic.Partitions.Count(partition => partition.LeaderSpu == spu.Id));

    private static Gen<string?> OneOf(params string?[] values) => Gen.Int[0, values.Length - 1].Select(i => values[i]);

    private static string? Streams(PartitionId id) => id.Partition % 3 == 0 ? null : $"n{id.Partition % 3}";

    private static Gen<TopicInfo[]> TopicsOf(Gen<PartitionInfo> partition) => partition.Array[0, 12].Array[0, 5].Select(topics =>
        topics.Select((partitions, i) => new TopicInfo(
            $"t{i}", new TopicSettings(), [.. partitions.Select((info, number) => info with { Number = number })])).ToArray());

    private static TopicInfo Topic(string name, IEnumerable<(int Leader, string? Geo)> partitions) => new(
        name, new TopicSettings(), [.. partitions.Select((one, number) => new PartitionInfo(number, one.Leader, one.Geo))]);

    private static TopologyMap Map(params TopicInfo[] topics) => new(
        "c", [], ImmutableSortedDictionary<string, GeoLocationInfo>.Empty, topics.ToImmutableSortedDictionary(topic => topic.Name, topic => topic));

    private static TopicInfo[] Apply(TopicInfo[] topics, IReadOnlyList<PartitionMove> moves) =>
    [
        .. topics.Select(topic => topic with
        {
            Partitions = [.. topic.Partitions.Select(info => moves.SingleOrDefault(move => move.Partition == new PartitionId(topic.Name, info.Number)) is { } move
                ? info with { LeaderSpu = move.Spu, LeaderEpoch = move.Epoch }
                : info)],
        }),
    ];
}
