using EdgeStream.Harness.Cluster;

namespace EdgeStream.ClusterFaults.Tests;

/// <summary>Any one process of a cluster is killed, frozen and cut off while edges mirror and producers write. <c>make cluster-faults</c> runs them.</summary>
public sealed class OneKindTests
{
    [Fact(Explicit = true, Timeout = 900_000)]
    public Task Spu() => TryAllAsync("an SPU", run => run.LeadingSpuAsync());

    [Fact(Explicit = true, Timeout = 900_000)]
    public Task Active_controller() => TryAllAsync("the active SC", run => run.Cluster.ActiveControllerAsync());

    [Fact(Explicit = true, Timeout = 900_000)]
    public Task Controller_that_stands_by() => TryAllAsync("the SC that stands by", run => run.StandbyAsync());

    [Fact(Explicit = true, Timeout = 900_000)]
    public Task Nats_server_that_leads_streams() => TryAllAsync("the nats-server that leads the most streams", run => run.StreamLeaderAsync());

    [Fact(Explicit = true, Timeout = 900_000)]
    public Task Nats_server_that_leads_JetStream() => TryAllAsync("the nats-server that leads JetStream's metadata", run => run.MetaLeaderAsync());

    private static async Task TryAllAsync(string what, Func<FaultRun, Task<ClusterMember>> choose)
    {
        await using FaultRun run = await FaultRun.StartAsync();
        ClusterMember member = await choose(run);
        await run.BearAsync($"kill -9 of {what}", Does(member.Kill), member.StartAsync);
        member = await choose(run);
        await run.BearAsync($"freeze of {what}", Does(member.Freeze), Does(member.Thaw));
        member = await choose(run);
        await run.BearAsync($"network cut of {what}", Does(member.CutNetwork), Does(member.MendNetwork));
        await run.CheckAsync();
    }

    private static Func<Task> Does(Action action) => () =>
    {
        action();
        return Task.CompletedTask;
    };
}
