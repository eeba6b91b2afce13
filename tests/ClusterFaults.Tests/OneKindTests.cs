using EdgeStream.Harness.Cluster;

namespace EdgeStream.ClusterFaults.Tests;

/// <summary>Any one process of a cluster is killed, frozen and cut off while edges mirror and producers write. <c>make cluster-faults</c> runs them.</summary>
public sealed class OneKindTests
{
    [Fact(Explicit = true, Timeout = 900_000)]
    public Task Spu() => TryAllAsync("an SPU", run => run.LeadingSpuAsync());

    [Fact(Explicit = true, Timeout = 900_000)]
    public Task Active_controller() => TryAllAsync(
        "the active SC, until the other is active", run => run.Cluster.ActiveControllerAsync(), (run, gone) => run.Cluster.ActiveControllerAsync(besides: gone));

    [Fact(Explicit = true, Timeout = 900_000)]
    public Task Controller_that_stands_by() => TryAllAsync("the SC that stands by", run => run.StandbyAsync());

    [Fact(Explicit = true, Timeout = 900_000)]
    public Task Nats_server_that_leads_streams() => TryAllAsync("the nats-server that leads the most streams", run => run.StreamLeaderAsync());

    [Fact(Explicit = true, Timeout = 900_000)]
    public Task Nats_server_that_leads_JetStream() => TryAllAsync("the nats-server that leads JetStream's metadata", run => run.MetaLeaderAsync());

    /// <param name="what">For the table.</param>
    /// <param name="choose">To which it is done.</param>
    /// <param name="noticed">Completes when the others have taken its place; null where whoever writes has to wait for that anyway.</param>
    private static async Task TryAllAsync(
        string what, Func<FaultRun, Task<ClusterMember>> choose, Func<FaultRun, ClusterMember, Task>? noticed = null)
    {
        await using FaultRun run = await FaultRun.StartAsync();
        await TryAsync("kill -9", member => member.Kill, member => member.StartAsync);
        await TryAsync("freeze", member => member.Freeze, member => Does(member.Thaw));
        await TryAsync("network cut", member => member.CutNetwork, member => Does(member.MendNetwork));
        await run.CheckAsync();

        async Task TryAsync(string how, Func<ClusterMember, Action> fault, Func<ClusterMember, Func<Task>> mend)
        {
            ClusterMember member = await choose(run);
            await run.BearAsync(
                $"{how} of {what}",
                () =>
                {
                    fault(member)();
                    return noticed?.Invoke(run, member) ?? Task.CompletedTask;
                },
                mend(member));
        }
    }

    private static Func<Task> Does(Action action) => () =>
    {
        action();
        return Task.CompletedTask;
    };
}
