using System.Globalization;
using EdgeStream.Harness;
using EdgeStream.Harness.Network;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Network.Tests;

/// <summary>
/// The path between edge and hub fails in the ways that real ones do, while records keep coming; when it is well again the hub
/// catches up by itself, and its copy is the edge's log.
/// </summary>
public sealed class BrokenPathTests
{
    private const int Records = 200;

    public static TheoryData<string, Action<SitePath>> Cuts { get; } = new()
    {
        { "the edge's plug is pulled", path => path.SetPlugged(PathEnd.Edge, false) },
        { "the hub's plug is pulled", path => path.SetPlugged(PathEnd.Hub, false) },
        { "the router drops everything", path => path.Block(PathEnd.Edge | PathEnd.Hub) },
        { "nothing of the edge's arrives", path => path.Block(PathEnd.Edge) },
        { "nothing of the hub's arrives", path => path.Block(PathEnd.Hub) },
    };

    [Theory(Timeout = 180_000)]
    [MemberData(nameof(Cuts), DisableDiscoveryEnumeration = true)]
    public async Task Dead_path_is_noticed_and_the_hub_catches_up(string what, Action<SitePath> cut)
    {
        await using MirrorSite site = await MirrorSite.StartAsync();
        await site.ProduceAsync(Records);
        await site.AuditAsync();

        cut(site.Path);
        await site.ProduceAsync(Records);
        await site.WaitForOfflineAsync();
        await site.ProduceAsync(Records);
        site.Path.Heal();

        MirrorAudit audit = await site.AuditAsync();
        Assert.True(audit is { Records: 3 * Records, Lost: 0 }, $"{what}: {audit}");
    }

    [Fact(Timeout = 180_000)]
    public async Task Path_that_loses_every_third_packet_for_a_while_ends_with_equal_logs()
    {
        await using MirrorSite site = await MirrorSite.StartAsync();
        site.Path.Lose(30);
        for (int i = 0; i < 10; i++)
        {
            await site.ProduceAsync(Records);
            await Task.Delay(TimeSpan.FromMilliseconds(500));
        }

        site.Path.Heal();
        Assert.Equal(10 * Records, (await site.AuditAsync()).Records);
    }

    [Fact(Timeout = 180_000)]
    public async Task Edge_that_gets_another_address_goes_on_from_there()
    {
        await using MirrorSite site = await MirrorSite.StartAsync();
        for (int i = 1; i <= 2; i++)
        {
            await site.ProduceAsync(Records);
            await site.AuditAsync();
            site.Path.ChangeEdgeAddress();
            await site.ProduceAsync(Records);
            await site.AuditAsync();
            await AssertReconnectedAsync(site, i);
        }
    }

    [Fact(Timeout = 180_000)]
    public async Task Hub_that_moves_behind_its_name_is_found_there()
    {
        await using MirrorSite site = await MirrorSite.StartAsync();
        for (int i = 1; i <= 2; i++)
        {
            await site.ProduceAsync(Records);
            await site.AuditAsync();
            site.Path.ChangeHubAddress();
            await site.ProduceAsync(Records);
            await site.AuditAsync();
            await AssertReconnectedAsync(site, i);
        }
    }

    [Theory(Timeout = 180_000)]
    [InlineData(ForgottenConnection.Swallowed)]
    [InlineData(ForgottenConnection.Reset)]
    public async Task Idle_link_that_a_middle_box_has_forgotten_is_made_anew_when_data_comes(ForgottenConnection then)
    {
        TimeSpan idle = TimeSpan.FromSeconds(2);
        await using MirrorSite site = await MirrorSite.StartAsync(prepare: path => path.ForgetIdle(idle, then));
        await site.ProduceAsync(Records);
        await site.AuditAsync();

        // Nothing to send for so long that the box forgets.
        await Task.Delay(idle + TimeSpan.FromSeconds(3));
        await site.ProduceAsync(Records);

        Assert.Equal(2 * Records, (await site.AuditAsync()).Records);
        await AssertReconnectedAsync(site, 1);
    }

    private static async Task AssertReconnectedAsync(MirrorSite site, int atLeast)
    {
        UplinkStatus uplink = await site.UplinkAsync();
        Assert.True(
            uplink.Reconnects >= atLeast, string.Create(CultureInfo.InvariantCulture, $"{uplink.Reconnects} reconnects: the fault was none"));
    }
}
