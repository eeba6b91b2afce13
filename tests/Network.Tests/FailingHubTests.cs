using EdgeStream.Harness;
using EdgeStream.Harness.Network;

namespace EdgeStream.Network.Tests;

/// <summary>The hub's machine fails while records keep coming; when it is back, it catches up by itself.</summary>
public sealed class FailingHubTests
{
    private const int Records = 200;

    [Fact(Timeout = 180_000)]
    public async Task Hub_that_was_killed_goes_on_where_it_was()
    {
        using MirrorSite site = await MirrorSite.StartAsync();
        for (int i = 1; i <= 3; i++)
        {
            await site.ProduceAsync(Records);
            site.Hub.Kill();
            await site.ProduceAsync(Records);
            await site.Hub.StartAsync();
            Assert.Equal(2 * i * Records, (await site.AuditAsync()).Records);
        }
    }

    [Fact(Timeout = 180_000)]
    public async Task Hub_that_is_frozen_is_noticed_and_goes_on_when_it_wakes()
    {
        using MirrorSite site = await MirrorSite.StartAsync();
        await site.ProduceAsync(Records);
        await site.AuditAsync();
        site.Hub.Process.Signal("STOP");
        await site.ProduceAsync(Records);
        await site.WaitForOfflineAsync();
        site.Hub.Process.Signal("CONT");

        Assert.Equal(2 * Records, (await site.AuditAsync()).Records);
    }

    [Fact(Timeout = 180_000)]
    public async Task Hub_whose_disk_is_full_says_so_and_goes_on_when_there_is_room()
    {
        using MirrorSite site = await MirrorSite.StartAsync();
        await site.ProduceAsync(Records);
        await site.AuditAsync();
        site.HubDisk.TakeRoom();
        await site.ProduceAsync(1000, size: 4000);
        await site.WaitAsync(
            "the edge tells that the hub has no room",
            async () => (await site.UplinkAsync()).LastError.Contains("the disk is full", StringComparison.Ordinal));
        long mirrored = (await MirrorSite.MarksAsync(site.EdgeClient))!.Mirrored;
        Assert.InRange(mirrored, Records, Records + 999);
        site.HubDisk.GiveRoom();

        Assert.Equal(Records + 1000, (await site.AuditAsync()).Records);
    }
    [Fact(Timeout = 240_000)]
    public async Task Hub_started_on_a_full_disk_behind_a_gap_goes_on_when_there_is_room()
    {
        const int TooMany = 4000, Size = 10_000;
        using MirrorSite site = await MirrorSite.StartAsync("""retention = { bytes = "16MiB" }""");
        site.Path.Block(PathEnd.Edge | PathEnd.Hub);
        await site.ProduceAsync(TooMany, Size);
        site.Path.Heal();
        await site.AuditAsync();
        int gaps = (await MirrorSite.GapsAsync(site.HubClient)).Count;

        // A gap still finds room at the hub, in a page that its ledger has; the records behind it need another segment.
        site.HubDisk.TakeRoom();
        await site.ProduceAsync(TooMany, Size);
        await site.WaitAsync("the hub has the gap", async () => (await MirrorSite.GapsAsync(site.HubClient)).Count > gaps);
        site.Hub.Kill();
        await site.Hub.StartAsync();
        site.HubDisk.GiveRoom();

        MirrorAudit audit = await site.AuditAsync();
        Assert.Equal(2 * TooMany, audit.Records + audit.Lost);
    }
}
