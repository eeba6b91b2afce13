using EdgeStream.Mirror.Uplink;

namespace EdgeStream.Mirror.Tests.Uplink;

public sealed class CompressionEffortTests
{
    private static readonly TimeSpan OnLink = TimeSpan.FromMilliseconds(100);

    private readonly CompressionEffort _effort = new();

    [Fact]
    public void Slow_link_is_worth_the_most_and_a_fast_one_nothing()
    {
        Assert.Equal(1, _effort.Level);
        Note(TimeSpan.FromMilliseconds(1), times: 10);
        Assert.Equal(15, _effort.Level);
        Note(TimeSpan.FromMilliseconds(90), times: 10);
        Assert.Equal(1, _effort.Level);
    }

    [Fact]
    public void Level_that_takes_a_fair_part_of_the_links_time_stays()
    {
        Note(TimeSpan.FromMilliseconds(1), times: 1);
        Assert.Equal(9, _effort.Level);
        Note(TimeSpan.FromMilliseconds(30), times: 10);
        Assert.Equal(9, _effort.Level);
    }

    private void Note(TimeSpan computed, int times)
    {
        for (int i = 0; i < times; i++)
            _effort.Note(computed, OnLink);
    }
}
