using EdgeStream.Harness;
using EdgeStream.Harness.Network;

namespace EdgeStream.Network.Tests;

/// <summary>The edge has to drop records that the hub does not have: what is lost is told on both sides, and the mirror goes on.</summary>
public sealed class OvertakenUplinkTests
{
    // The least that a topic can be told to keep.
    private const string Keeps = """retention = { bytes = "16MiB" }""";

    private const int Size = 10_000;

    [Fact(Timeout = 180_000)]
    public async Task Records_dropped_while_the_link_is_down_are_gaps_on_both_sides()
    {
        using MirrorSite site = await MirrorSite.StartAsync(Keeps);
        for (int i = 1; i <= 2; i++)
        {
            await site.ProduceAsync(300, Size);
            await site.AuditAsync();
            site.Path.Block(PathEnd.Edge | PathEnd.Hub);

            // Begins without a link, so that nothing is on its way that the hub gets although the edge has dropped it.
            await site.Edge.Process.StopAsync();
            await site.Edge.StartAsync();
            await site.ProduceAsync(4000, Size);
            site.Path.Heal();

            MirrorAudit audit = await site.AuditAsync();
            Assert.InRange(audit.Lost, i * 2000L, i * 4000L);
            List<(long First, long Last, string Reason)> gaps = await MirrorSite.GapsAsync(site.EdgeClient);
            Assert.Equal(i, gaps.Count);
            Assert.All(gaps, gap => Assert.Equal("retention", gap.Reason));
            Assert.Equal(gaps, await MirrorSite.GapsAsync(site.HubClient));
        }

        // As a person asks.
        string atEdge = await site.Edge.CommandAsync("gaps", "-o", "json"), atHub = await site.Hub.CommandAsync("gaps", "-o", "json");
        Assert.Contains("retention", atEdge, StringComparison.Ordinal);
        Assert.Contains("retention", atHub, StringComparison.Ordinal);
    }

    [Fact(Timeout = 180_000)]
    public async Task Records_dropped_while_a_slow_link_is_up_are_gaps_on_both_sides()
    {
        using MirrorSite site = await MirrorSite.StartAsync(Keeps, uplink: "");
        site.Path.Shape(LinkShape.Slow);
        for (int i = 0; i < 5; i++)
            await site.ProduceAsync(1000, Size);

        site.Path.Heal();
        MirrorAudit audit = await site.AuditAsync();
        Assert.InRange(audit.Lost, 1, 4999);
        Assert.Equal(audit.Lost, (await MirrorSite.GapsAsync(site.HubClient)).Sum(gap => gap.Last + 1 - gap.First));
    }
}
