using EdgeStream.Cluster.Spu;

namespace EdgeStream.Cluster.Tests.Spu;

public class HubClockTests
{
    private const long HubTime = 1_900_000_000_000;

    private readonly ManualTime _time = new();
    private readonly HubClock _clock;

    public HubClockTests() => _clock = new HubClock(_time);

    [Fact]
    public void Nothing_is_known_before_the_hub_was_heard() => Assert.Null(_clock.Now);

    [Fact]
    public void Time_goes_on_with_the_monotonic_clock()
    {
        _clock.Tell(HubTime, _clock.Monotonic);
        _time.Advance(TimeSpan.FromDays(3));
        Assert.Equal(HubTime + (3 * 86_400_000), _clock.Now);
    }

    [Fact]
    public void Answer_that_was_on_its_way_for_long_does_not_put_the_clock_behind()
    {
        long asked = _clock.Monotonic;
        _time.Advance(TimeSpan.FromMinutes(5));
        _clock.Tell(HubTime, asked);
        Assert.Equal(HubTime + 300_000, _clock.Now);
    }

    [Fact]
    public void Newest_answer_counts_also_where_the_hubs_clock_was_set_back()
    {
        _clock.Tell(HubTime, _clock.Monotonic);
        _time.Advance(TimeSpan.FromSeconds(30));
        _clock.Tell(HubTime - 3_600_000, _clock.Monotonic);
        Assert.Equal(HubTime - 3_600_000, _clock.Now);
    }

    [Fact]
    public void Question_from_the_future_is_one_of_now()
    {
        _clock.Tell(HubTime, _clock.Monotonic + 1_000_000);
        Assert.Equal(HubTime, _clock.Now);
    }
}
