using EdgeStream.Harness;
using EdgeStream.Harness.Cluster;

namespace EdgeStream.ClusterFaults.Tests;

/// <summary>What is done to several processes, and what an operator does on purpose. <c>make cluster-faults</c> runs them.</summary>
public sealed class SeveralTests
{
    // More than any SC is away for a moment: traffic that goes on by itself.
    private const int LongWhile = 200;

    [Fact(Explicit = true, Timeout = 900_000)]
    public async Task Traffic_goes_on_without_any_controller()
    {
        await using FaultRun run = await FaultRun.StartAsync();
        await run.BearAsync(
            "kill -9 of both SCs, 10 s without",
            () =>
            {
                run.Cluster["sc1"].Kill();
                run.Cluster["sc2"].Kill();
                return Task.CompletedTask;
            },
            () => Task.WhenAll(run.Cluster["sc1"].StartAsync(), run.Cluster["sc2"].StartAsync()),
            LongWhile);
        await run.CheckAsync();
    }

    [Fact(Explicit = true, Timeout = 1_200_000)]
    public async Task Everything_is_restarted_one_by_one()
    {
        await using FaultRun run = await FaultRun.StartAsync();
        foreach (string name in (string[])["n1", "n2", "n3", "sc1", "sc2", "spu1", "spu2", "spu3"])
        {
            ClusterMember member = run.Cluster[name];
            await run.BearAsync($"rolling restart: {name}", member.StopAsync, member.StartAsync);
        }

        await run.CheckAsync();
    }

    [Fact(Explicit = true, Timeout = 900_000)]
    public async Task Spu_comes_and_another_goes_in_order()
    {
        await using FaultRun run = await FaultRun.StartAsync();
        await run.BearAsync("an SPU is added, and gets its share", () => run.Cluster.AddSpuAsync(4), run.WaitUntilWellAsync);
        Assert.Contains(await run.PartitionsAsync(), partition => partition.LeaderSpu == 4);
        ClusterMember spu = await run.LeadingSpuAsync();
        await run.BearAsync("an SPU is stopped in order", spu.StopAsync, spu.StartAsync);
        await run.CheckAsync();
    }
}
