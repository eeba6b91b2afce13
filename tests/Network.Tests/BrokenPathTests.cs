using EdgeStream.Harness.Network;

namespace EdgeStream.Network.Tests;

/// <summary>
/// The path between edge and hub fails in the ways that real ones do, while records keep coming; when it is well again the hub
/// catches up by itself, and its copy is the edge's log.
/// </summary>
public sealed class BrokenPathTests
{
    private const int Records = 200;

    private static readonly Dictionary<string, Action<SitePath>> Cuts = new()
    {
        ["the edge's plug is pulled"] = path => path.SetPlugged(PathEnd.Edge, false),
        ["the hub's plug is pulled"] = path => path.SetPlugged(PathEnd.Hub, false),
        ["the router drops everything"] = path => path.Block(PathEnd.Edge | PathEnd.Hub),
        ["nothing of the edge's arrives"] = path => path.Block(PathEnd.Edge),
        ["nothing of the hub's arrives"] = path => path.Block(PathEnd.Hub),
    };

    public static TheoryData<string> CutNames { get; } = [.. Cuts.Keys];

    [Theory(Timeout = 180_000)]
    [MemberData(nameof(CutNames))]
    public async Task Dead_path_is_noticed_and_the_hub_catches_up(string cut)
    {
        using MirrorSite site = await MirrorSite.StartAsync();
        await site.ProduceAsync(Records);
        await site.AuditAsync();

        Cuts[cut](site.Path);
        await site.ProduceAsync(Records);
        await site.WaitForOfflineAsync();
        await site.ProduceAsync(Records);
        site.Path.Heal();

        Assert.Equal(3 * Records, (await site.AuditAsync()).Records);
    }

    [Fact(Timeout = 180_000)]
    public async Task Path_that_loses_every_third_packet_for_a_while_ends_with_equal_logs()
    {
        using MirrorSite site = await MirrorSite.StartAsync();
        site.Path.Lose(30);
        for (int i = 0; i < 10; i++)
        {
            await site.ProduceAsync(Records);
            await Task.Delay(TimeSpan.FromMilliseconds(500));
        }

        site.Path.Heal();
        Assert.Equal(10 * Records, (await site.AuditAsync()).Records);
    }
}
