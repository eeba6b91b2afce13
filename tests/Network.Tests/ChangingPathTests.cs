using EdgeStream.Harness.Network;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Network.Tests;

/// <summary>
/// A connection that no longer leads anywhere, without a word to either end: an address has changed, or a middle box has forgotten
/// it. It is made anew, and the hub's copy is the edge's log.
/// </summary>
public sealed class ChangingPathTests
{
    private const int Records = 200;

    [Fact(Timeout = 180_000)]
    public async Task Edge_that_gets_another_address_goes_on_from_there()
    {
        using MirrorSite site = await MirrorSite.StartAsync();
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
        using MirrorSite site = await MirrorSite.StartAsync();
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
        using MirrorSite site = await MirrorSite.StartAsync(prepare: path => path.ForgetIdle(TimeSpan.FromHours(1), then));
        site.Path.ForgetIdle(idle, then);
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
        Assert.True(uplink.Reconnects >= atLeast, "the connection was not lost: the fault was none");
    }
}
