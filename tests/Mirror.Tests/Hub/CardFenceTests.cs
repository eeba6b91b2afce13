using EdgeStream.Cluster;
using EdgeStream.Cluster.Metadata;
using EdgeStream.ClusterTesting;
using EdgeStream.Mirror.Hub;
using EdgeStream.Testing;

namespace EdgeStream.Mirror.Tests.Hub;

/// <summary>Which card is let in, whatever order its greetings arrive in.</summary>
public sealed class CardFenceTests : IAsyncLifetime
{
    private readonly TempDirectory _temp = new();
    private NodeParts _parts = null!;
    private CardFence _fence = null!;

    public async ValueTask InitializeAsync()
    {
        _parts = await NodeParts.StartAsync(_temp.Path, isHub: true);
        _fence = new CardFence(_parts.Store);
    }

    public async ValueTask DisposeAsync()
    {
        await _parts.DisposeAsync();
        _temp.Dispose();
    }

    [Fact]
    public async Task Each_start_gets_another_token_and_the_one_before_is_refused()
    {
        string first = await StartAsync("");
        await _fence.ConfirmAsync("north", first);
        string second = await StartAsync(first);
        await _fence.ConfirmAsync("north", second);

        await AssertRefusedAsync(first);
        Assert.Null(await _fence.AdmitAsync("north", second, isNewStart: false));
    }

    [Fact]
    public async Task Edge_that_lost_its_answer_is_let_in_with_either_token()
    {
        string kept = await StartAsync("");
        await _fence.ConfirmAsync("north", kept);
        string lost = await StartAsync(kept); // the edge never got it
        string again = await StartAsync(kept);

        Assert.Null(await _fence.AdmitAsync("north", again, isNewStart: false)); // the hub never heard that it is kept
        await AssertRefusedAsync(lost);
        await AssertRefusedAsync(kept);
    }

    [Fact]
    public async Task Greeting_of_a_dead_connection_does_not_shut_out_the_live_one()
    {
        string kept = await StartAsync("");
        await _fence.ConfirmAsync("north", kept);
        string live = await StartAsync(kept);
        await StartAsync(kept); // sent before, on a connection that broke; it arrives only now
        await _fence.ConfirmAsync("north", live);

        Assert.Null(await _fence.AdmitAsync("north", live, isNewStart: false));
        await AssertRefusedAsync(kept);
    }

    [Fact]
    public async Task Of_two_cards_that_start_at_once_the_first_that_keeps_its_token_stays()
    {
        string kept = await StartAsync("");
        await _fence.ConfirmAsync("north", kept);
        string one = await StartAsync(kept), other = await StartAsync(kept);
        Assert.NotEqual(one, other);
        await _fence.ConfirmAsync("north", one);
        await _fence.ConfirmAsync("north", other);

        Assert.Null(await _fence.AdmitAsync("north", one, isNewStart: false));
        await AssertRefusedAsync(other);
    }

    [Fact]
    public async Task Hub_restored_from_a_backup_lets_in_the_card_that_is_ahead_of_it_and_no_other()
    {
        string old = await StartAsync("");
        await _fence.ConfirmAsync("north", old);
        StartTokens backup = (await _parts.Store.FindStartTokensAsync("north"))!;
        string current = old;
        for (int i = 0; i < 12; i++)
        {
            current = await StartAsync(current);
            await _fence.ConfirmAsync("north", current);
        }

        await _parts.Store.UpdateStartTokensAsync("north", _ => backup);
        Assert.Null(await _fence.AdmitAsync("north", current, isNewStart: false));
        await AssertRefusedAsync(old);
        string next = await StartAsync(current);
        await _fence.ConfirmAsync("north", next);
        await AssertRefusedAsync(current);
    }

    [Fact]
    public async Task Number_that_makes_no_sense_is_no_way_in()
    {
        string kept = await StartAsync("");
        await _fence.ConfirmAsync("north", kept);
        foreach (string shown in (string[])["", "-", "x-1", "-1-x", "1-other", "99999999999999999999-x", kept[..^1]])
            await AssertRefusedAsync(shown);

        string next = await StartAsync($"{long.MaxValue}-x");
        await _fence.ConfirmAsync("north", next);
        Assert.Null(await _fence.AdmitAsync("north", next, isNewStart: false));
    }

    [Fact]
    public async Task Tokens_that_nobody_keeps_do_not_pile_up()
    {
        string kept = await StartAsync("");
        await _fence.ConfirmAsync("north", kept);
        for (int i = 0; i < 1000; i++)
            await StartAsync(kept);

        string last = await StartAsync(kept);
        Assert.InRange((await _parts.Store.FindStartTokensAsync("north"))!.Pending.Count, 1, 100);
        await _fence.ConfirmAsync("north", last);
        Assert.Null(await _fence.AdmitAsync("north", last, isNewStart: false));
    }

    private async Task<string> StartAsync(string shown) => (await _fence.AdmitAsync("north", shown, isNewStart: true))!;

    private async Task AssertRefusedAsync(string shown)
    {
        Task AdmitAsync() => _fence.AdmitAsync("north", shown, isNewStart: true);
        Assert.Equal(ErrorCode.CardSuperseded, (await Assert.ThrowsAsync<ClusterException>(AdmitAsync)).Code);
    }
}
