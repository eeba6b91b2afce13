using EdgeStream.Cluster.Grpc;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;

namespace EdgeStream.Mirror.Tests;

/// <summary>Memory is measured of the process, so nothing else may run in it.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class ManyGapsCollection
{
    public const string Name = "many gaps";
}

/// <summary>A ledger of a million gaps goes up like everything else: in bounded memory, and while the hub answers others.</summary>
[Collection(ManyGapsCollection.Name)]
public sealed class ManyGapsTests
{
    private const int Count = 1_000_000;

    // A gap takes some 90 bytes in the memory of the hub's ledger; that of the edge is there before.
    private const long MaxGrowth = 200L * 1024 * 1024;

    // What is alive is measured, not what the collector has left lying; that takes a while each time.
    private static readonly TimeSpan BetweenLooks = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan Long = TimeSpan.FromMinutes(8);

    [Fact]
    public async Task Million_gaps_of_an_edge_are_the_hubs_too()
    {
        await using InProcessHub hub = await InProcessHub.StartAsync();
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(hub, "north", "t");
        await edge.ChangeFilesAsync(() =>
        {
            // None of them is one with its neighbour.
            GapLedger ledger = GapLedger.Open(DiskFiles.Instance, Path.Combine(edge.DataDirectory, "topics", "t", "0"));
            ledger.Add([.. Enumerable.Range(0, Count).Select(n =>
                new Gap(3L * n, (3L * n) + 2, 100, n, n + 1, n % 2 == 0 ? GapReason.Retention : GapReason.Overflow, n))]);
        });
        PartitionLog log = edge.Log("t");
        await edge.FillAsync("t", 3);
        Assert.Equal(Count, log.Gaps.Count);
        long before = GC.GetTotalMemory(forceFullCollection: true), most = before, looked = TimeProvider.System.GetTimestamp();
        edge.StartUplink(new Mirror.Uplink.UplinkOptions());
        TimeSpan slowest = TimeSpan.Zero;
        long started = TimeProvider.System.GetTimestamp();
        Task mirrored = log.WaitForMirroredAsync(log.Offsets.Durable, CancellationToken.None).AsTask();
        while (!mirrored.IsCompleted)
        {
            Assert.True(TimeProvider.System.GetElapsedTime(started) < Long, $"the hub has {log.Offsets.Mirrored} of {log.Offsets.Durable} offsets");
            long asked = TimeProvider.System.GetTimestamp();
            _ = await TopologyMessages.ToStatusesAsync(hub.Parts.Spu.Partitions, CancellationToken.None);
            TimeSpan took = TimeProvider.System.GetElapsedTime(asked);
            slowest = took > slowest ? took : slowest;
            if (TimeProvider.System.GetElapsedTime(looked) > BetweenLooks)
            {
                most = Math.Max(most, GC.GetTotalMemory(forceFullCollection: true));
                looked = TimeProvider.System.GetTimestamp();
            }

            await Task.WhenAny(mirrored, Task.Delay(TimeSpan.FromMilliseconds(200)));
        }

        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{Count} gaps in {TimeProvider.System.GetElapsedTime(started).TotalSeconds:0.0} s, {(most - before) >> 20} MiB more, status in {slowest.TotalMilliseconds:0} ms");
        Assert.True(most - before < MaxGrowth, $"{(most - before) >> 20} MiB more were taken");
        Assert.True(slowest < TimeSpan.FromSeconds(2), $"the status took {slowest}");
        Assert.Equal(log.Gaps, hub.LogOf("north", "t")!.Gaps);
        await edge.IsMirroredAsync(hub, "t");
        Assert.Equal(Count, CountListed(hub));
    }

    private static long CountListed(InProcessHub hub)
    {
        long count = 0;
        while (true)
        {
            V1.ListGapsResponse page = TopologyMessages.ToGaps(hub.Parts.Spu.Partitions, count);
            count += page.Gaps.Count;
            if (page.Gaps.Count == 0 || count >= page.Total)
                return count;
        }
    }
}
