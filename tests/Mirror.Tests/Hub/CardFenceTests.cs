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
    public void Each_start_gets_another_token_and_the_one_before_is_refused()
    {
        string first = Start("");
        _fence.Confirm("north", first);
        string second = Start(first);
        _fence.Confirm("north", second);

        AssertRefused(first);
        Assert.Null(_fence.Admit("north", second, isNewStart: false));
    }

    [Fact]
    public void Edge_that_lost_its_answer_is_let_in_with_either_token()
    {
        string kept = Start("");
        _fence.Confirm("north", kept);
        string lost = Start(kept); // the edge never got it
        string again = Start(kept);

        Assert.Null(_fence.Admit("north", again, isNewStart: false)); // the hub never heard that it is kept
        AssertRefused(lost);
        AssertRefused(kept);
    }

    [Fact]
    public void Greeting_of_a_dead_connection_does_not_shut_out_the_live_one()
    {
        string kept = Start("");
        _fence.Confirm("north", kept);
        string live = Start(kept);
        Start(kept); // sent before, on a connection that broke; it arrives only now
        _fence.Confirm("north", live);

        Assert.Null(_fence.Admit("north", live, isNewStart: false));
        AssertRefused(kept);
    }

    [Fact]
    public void Of_two_cards_that_start_at_once_the_first_that_keeps_its_token_stays()
    {
        string kept = Start("");
        _fence.Confirm("north", kept);
        string one = Start(kept), other = Start(kept);
        Assert.NotEqual(one, other);
        _fence.Confirm("north", one);
        _fence.Confirm("north", other);

        Assert.Null(_fence.Admit("north", one, isNewStart: false));
        AssertRefused(other);
    }

    [Fact]
    public void Hub_restored_from_a_backup_lets_in_the_card_that_is_ahead_of_it_and_no_other()
    {
        string old = Start("");
        _fence.Confirm("north", old);
        StartTokens backup = _parts.Store.FindStartTokens("north")!;
        string current = old;
        for (int i = 0; i < 12; i++)
        {
            current = Start(current);
            _fence.Confirm("north", current);
        }

        _parts.Store.SaveStartTokens("north", backup);
        Assert.Null(_fence.Admit("north", current, isNewStart: false));
        AssertRefused(old);
        string next = Start(current);
        _fence.Confirm("north", next);
        AssertRefused(current);
    }

    [Fact]
    public void Number_that_makes_no_sense_is_no_way_in()
    {
        string kept = Start("");
        _fence.Confirm("north", kept);
        foreach (string shown in (string[])["", "-", "x-1", "-1-x", "1-other", "99999999999999999999-x", kept[..^1]])
            AssertRefused(shown);

        string next = Start($"{long.MaxValue}-x");
        _fence.Confirm("north", next);
        Assert.Null(_fence.Admit("north", next, isNewStart: false));
    }

    [Fact]
    public void Tokens_that_nobody_keeps_do_not_pile_up()
    {
        string kept = Start("");
        _fence.Confirm("north", kept);
        for (int i = 0; i < 1000; i++)
            Start(kept);

        string last = Start(kept);
        Assert.InRange(_parts.Store.FindStartTokens("north")!.Pending.Count, 1, 100);
        _fence.Confirm("north", last);
        Assert.Null(_fence.Admit("north", last, isNewStart: false));
    }

    private string Start(string shown) => _fence.Admit("north", shown, isNewStart: true)!;

    private void AssertRefused(string shown) =>
        Assert.Equal(ErrorCode.CardSuperseded, Assert.Throws<ClusterException>(() => _fence.Admit("north", shown, isNewStart: true)).Code);
}
