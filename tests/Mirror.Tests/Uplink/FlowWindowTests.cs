using EdgeStream.Mirror.Uplink;
using Microsoft.Extensions.Time.Testing;

namespace EdgeStream.Mirror.Tests.Uplink;

/// <summary>On every link: it is filled, and nothing waits behind more than two seconds of data.</summary>
public sealed class FlowWindowTests
{
    private const double Slow = 50_000 / 8.0;
    private const double Fast = 10_000_000 / 8.0;

    [Theory]
    [InlineData(Slow, 0.04)]
    [InlineData(Slow, 0.6)]
    [InlineData(200_000 / 8.0, 0.3)]
    [InlineData(Fast, 0.02)]
    [InlineData(Fast, 0.6)]
    public void Link_is_filled_and_nothing_waits_long_behind_data(double bytesPerSecond, double roundTripSeconds)
    {
        var link = new SimulatedLink { BytesPerSecond = bytesPerSecond, RoundTripSeconds = roundTripSeconds };
        link.Window.Grant(4 * 1024 * 1024);
        link.Run(10);
        long before = link.Delivered;
        link.Run(60);
        Assert.True(link.Delivered - before > 0.95 * 60 * bytesPerSecond, $"{(link.Delivered - before) / 60.0 / bytesPerSecond:p0} of the link was used");
        Assert.True(link.LongestQueue < 2, $"something waited for {link.LongestQueue:0.00} s");
        Assert.Equal(bytesPerSecond, link.Window.Rate, 0.05 * bytesPerSecond);
    }

    [Fact]
    public void Window_and_pieces_suit_what_may_go_and_not_what_the_link_could_carry()
    {
        var time = new FakeTimeProvider();
        var window = new FlowWindow(time, bytesPerSecond: 20_000);
        window.Grant(4 * 1024 * 1024);
        for (int i = 0; i < 100; i++)
        {
            window.Sent(5000);
            time.Advance(TimeSpan.FromMilliseconds(10));
            Assert.True(window.TryAcknowledge(5000));
        }

        Assert.Equal(20_000, window.Rate);
        Assert.InRange(window.Size, 20_000, 21_000);
        Assert.InRange(window.PieceBytes, 5000, 5250);
    }

    [Fact]
    public void Link_that_becomes_slower_and_faster_is_followed()
    {
        var link = new SimulatedLink { BytesPerSecond = 100_000, RoundTripSeconds = 0.1 };
        link.Window.Grant(4 * 1024 * 1024);
        link.Run(10);
        link.BytesPerSecond = Slow;
        link.Run(40);
        Assert.InRange(link.Window.Size, Slow, 2 * Slow);

        link.BytesPerSecond = Fast;
        link.Run(10);
        Assert.InRange(link.Window.Size, Fast, 2 * Fast);
    }

    [Fact]
    public void Hub_grants_less_and_more()
    {
        var link = new SimulatedLink { BytesPerSecond = Fast, RoundTripSeconds = 0.1 };
        link.Window.Grant(40_000);
        link.Run(5);
        Assert.Equal(40_000, link.Window.Size);
        Assert.InRange(link.Delivered / 5.0, 0.8 * 400_000, 1.3 * 400_000);

        link.Window.Grant(1_000_000);
        link.Run(5);
        Assert.Equal(1_000_000, link.Window.Size);
    }

    [Fact]
    public void After_a_pause_it_begins_with_little_again()
    {
        var time = new FakeTimeProvider();
        var window = new FlowWindow(time);
        window.Grant(1_000_000);
        for (int i = 0; i < 10; i++)
        {
            window.Sent(1000);
            time.Advance(TimeSpan.FromMilliseconds(1));
            Assert.True(window.TryAcknowledge(1000));
        }

        Assert.True(window.Size > 500_000);
        time.Advance(TimeSpan.FromSeconds(6));
        window.Sent(1000);
        Assert.Equal(FlowWindow.InitialBytes, window.Size);
    }

    [Fact]
    public void Acknowledgement_of_what_was_not_sent_is_told_from_one_that_was()
    {
        var window = new FlowWindow(new FakeTimeProvider());
        Assert.False(window.TryAcknowledge(1));
        window.Sent(10);
        Assert.False(window.TryAcknowledge(11));
    }

    [Fact]
    public void Gaps_are_on_their_way_like_pieces()
    {
        var window = new FlowWindow(new FakeTimeProvider());
        window.SentGap();
        window.Sent(10);
        Assert.Equal(FlowWindow.GapBytes + 10, window.InFlight);
        Assert.True(window.TryAcknowledge(0));
        Assert.True(window.TryAcknowledge(10));
        Assert.Equal(0, window.InFlight);

        // A hub that says nothing of a gap has taken or refused it when it takes what came behind.
        window.SentGap();
        window.Sent(10);
        Assert.True(window.TryAcknowledge(10));
        Assert.Equal(0, window.InFlight);

        for (int i = 0; i < FlowWindow.InitialBytes / FlowWindow.GapBytes; i++)
        {
            Assert.True(window.HasRoom);
            window.SentGap();
        }

        Assert.False(window.HasRoom);
    }
}
