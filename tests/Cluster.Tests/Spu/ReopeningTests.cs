using EdgeStream.Cluster.Topology;
using EdgeStream.ClusterTesting;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;

namespace EdgeStream.Cluster.Tests.Spu;

/// <summary>A partition that could not be opened is opened once what was in the way is gone, without a restart.</summary>
public sealed class ReopeningTests : IDisposable
{
    private readonly TempDirectory _temp = new();

    private string Partition => Path.Combine(_temp.Sub("data"), "topics", "t", "0");

    public void Dispose() => _temp.Dispose();

    [Fact]
    public async Task Partition_that_could_not_be_opened_comes_back_and_wakes_who_watches()
    {
        await using (NodeParts parts = await OpenAsync())
        {
            await parts.Controller.CreateTopicAsync("t", 1, new TopicSettings());
            await parts.Log("t").AppendAsync(Batches.Of("a"), AckLevel.Durable);
        }

        Directory.Move(Partition, Partition + "-aside");
        File.WriteAllText(Partition, "in the way");

        await using NodeParts again = await OpenAsync();
        Assert.False(again.Controller.GetPartition("t", 0).IsOpen);
        Task watching = again.Controller.WaitForChangeAsync(again.Controller.Current, CancellationToken.None);

        Assert.False(await again.Spu.ReopenAsync(again.Controller.Current));
        Assert.False(again.Controller.GetPartition("t", 0).IsOpen);
        Assert.False(watching.IsCompleted);

        File.Delete(Partition);
        Directory.Move(Partition + "-aside", Partition);
        Assert.True(await again.Spu.ReopenAsync(again.Controller.Current));
        await again.Controller.TouchAsync();
        await watching;
        Assert.Null(again.Controller.GetPartition("t", 0).Problem);
        Assert.Equal(["a"], Batches.ReadValues(again.Log("t")));
        await again.Log("t").AppendAsync(Batches.Of("b"), AckLevel.Durable);
        Assert.Equal(2, again.Log("t").Offsets.Durable);
    }

    private Task<NodeParts> OpenAsync() => NodeParts.StartAsync(_temp.Sub("data"));
}
