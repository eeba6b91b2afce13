using EdgeStream.Harness.Cluster;

namespace EdgeStream.ClusterFaults.Tests;

/// <summary>The moderate part: a process of each kind is killed, one after the other, under one cluster's work.</summary>
public sealed class SeveralFaultsTests
{
    [Fact(Timeout = 600_000)]
    public async Task Nothing_is_lost_or_doubled_when_each_kind_of_process_is_killed()
    {
        await using FaultRun run = await FaultRun.StartAsync(network: false, edges: 1);
        ClusterMember controller = await run.Cluster.ActiveControllerAsync();
        await run.BearAsync(
            "kill -9 of the active SC, until the other is active",
            () =>
            {
                controller.Kill();
                return run.Cluster.ActiveControllerAsync();
            },
            controller.StartAsync);
        ClusterMember spu = await run.LeadingSpuAsync();
        await run.BearAsync("kill -9 of an SPU", Kill(spu), spu.StartAsync);
        ClusterMember nats = await run.StreamLeaderAsync();
        await run.BearAsync("kill -9 of the nats-server that leads the most streams", Kill(nats), nats.StartAsync);
        await run.CheckAsync();
    }

    private static Func<Task> Kill(ClusterMember member) => () =>
    {
        member.Kill();
        return Task.CompletedTask;
    };
}
