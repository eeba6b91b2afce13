using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Topology;

namespace EdgeStream.Cluster.Tests.Controller;

public sealed class AssignmentTests
{
    private static readonly TopologyMap Map = TopologyMap.Unknown with { Spus = [new SpuInfo(3, []), new SpuInfo(1, []), new SpuInfo(2, [])] };

    [Theory]
    [InlineData(0, new[] { 1, 2 }, 2)]
    [InlineData(2, new[] { 1, 1 }, 2)]
    [InlineData(5, new int[0], 5)]
    [InlineData(0, new int[0], 0)]
    public void Topic_has_as_many_partitions_as_are_assigned_or_else_as_are_asked_for(int asked, int[] assigned, int expected) =>
        Assert.Equal(expected, Assignment.CheckCount(Map, assigned, asked, new TopicSettings()));

    [Fact]
    public void What_cannot_be_is_refused_in_words()
    {
        Refused("partition 1 is assigned to SPU 9, which the cluster does not know; it has 1, 2, 3", [1, 9], 0, new TopicSettings());
        Refused("2 partitions are assigned and 3 asked for; leave --partitions out", [1, 2], 3, new TopicSettings());
        foreach (TopicSettings settings in (TopicSettings[])[new TopicSettings(Mirror: true), new TopicSettings { Down = DownTo.Chosen }])
            Refused("partitions of geo-locations are led where their links end, and cannot be assigned; leave --assign out", [1], 0, settings);

        static void Refused(string message, int[] assigned, int partitions, TopicSettings settings)
        {
            var refused = Assert.Throws<ClusterException>(() => Assignment.CheckCount(Map, assigned, partitions, settings));
            Assert.Equal((ErrorCode.InvalidArgument, message), (refused.Code, refused.Message));
        }
    }

    [Fact]
    public void Partition_beyond_those_that_are_assigned_is_pinned_nowhere()
    {
        Assert.Equal([2, 1, null], Enumerable.Range(0, 3).Select(number => Assignment.PinnedOf([2, 1], number)));
    }
}
