using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.ClusterTesting;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using Xunit;

namespace EdgeStream.Cluster.Tests.Spu;

public sealed class LeaderChangeTests : IDisposable
{
    private const int Other = 7;

    private readonly TempDirectory _temp = new();

    public void Dispose() => _temp.Dispose();

    [Fact]
    public async Task Partition_that_another_spu_leads_is_closed_and_who_asks_is_told_where_it_is()
    {
        await using NodeParts parts = await NodeParts.StartAsync(_temp.Path);
        TopicInfo topic = await parts.Controller.CreateTopicAsync("t", 1, new TopicSettings());
        IPartitionLog log = parts.Log("t");
        TopologyMap moved = parts.Controller.Current with
        {
            Spus = [.. parts.Controller.Current.Spus, new SpuInfo(Other, ["https://other:9443"])],
            Topics = parts.Controller.Current.Topics.SetItem("t", topic with { Partitions = [topic.Partitions[0] with { LeaderSpu = Other, LeaderEpoch = 1 }] }),
        };

        await parts.Spu.ApplyAsync(moved);

        Assert.Null(parts.Spu.Find(new PartitionId("t", 0)));
        await Assert.ThrowsAsync<LogClosedException>(async () => await log.AppendAsync(Batches.Of("a"), AckLevel.Durable));
        ClusterException told = ClusterException.NotHere(moved, moved.Topics["t"], 0);
        Assert.Equal(ErrorCode.NotLeader, told.Code);
        Assert.Contains("SPU 7 at https://other:9443", told.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Partition_that_comes_back_is_opened_anew_with_its_records()
    {
        await using NodeParts parts = await NodeParts.StartAsync(_temp.Path);
        TopicInfo topic = await parts.Controller.CreateTopicAsync("t", 1, new TopicSettings());
        await parts.Log("t").AppendAsync(Batches.Of("a"), AckLevel.Durable);
        Partition before = parts.Spu.Find(new PartitionId("t", 0))!;

        // It was another's for a moment, of which this SPU was not told.
        await parts.Spu.ApplyAsync(parts.Controller.Current with
        {
            Topics = parts.Controller.Current.Topics.SetItem("t", topic with { Partitions = [topic.Partitions[0] with { LeaderEpoch = 2 }] }),
        });

        Partition after = parts.Spu.Find(new PartitionId("t", 0))!;
        Assert.NotSame(before, after);
        Assert.Equal(2, after.Info.LeaderEpoch);
        Assert.Equal(["a"], Batches.ReadValues(after.Segments));
    }
}
