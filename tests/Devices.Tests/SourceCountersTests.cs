using Microsoft.Extensions.Time.Testing;

namespace EdgeStream.Devices.Tests;

/// <summary>What was wrong last, and how long ago.</summary>
public sealed class SourceCountersTests
{
    [Fact]
    public void Last_fault_is_the_later_one_and_has_its_age()
    {
        var time = new FakeTimeProvider();
        var counters = new SourceCounters(time);
        Assert.Equal((null, null), counters.LastFault);

        counters.AddDropped(DropReason.TooLong, "too long");
        time.Advance(TimeSpan.FromMinutes(5));
        Assert.Equal(("too long", TimeSpan.FromMinutes(5)), counters.LastFault);

        Assert.True(counters.AddIncomplete("no time in it"));
        Assert.False(counters.AddIncomplete("no time in it"));
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(("no time in it", TimeSpan.FromSeconds(1)), counters.LastFault);

        counters.AddDropped(DropReason.TooLong, "again");
        Assert.Equal(("again", TimeSpan.Zero), counters.LastFault);
    }
}
