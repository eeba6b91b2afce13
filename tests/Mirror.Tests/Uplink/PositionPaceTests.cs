using EdgeStream.Mirror.Uplink;
using EdgeStream.Storage.Log;
using Microsoft.Extensions.Time.Testing;

namespace EdgeStream.Mirror.Tests.Uplink;

public sealed class PositionPaceTests
{
    private readonly FakeTimeProvider _time = new();

    [Fact]
    public void Position_is_told_when_it_has_moved()
    {
        var pace = new PositionPace(_time);
        Assert.True(pace.IsDue(At(5), isMonthUsedUp: false));
        Assert.False(pace.IsDue(At(5), isMonthUsedUp: false));
        Assert.True(pace.IsDue(At(6), isMonthUsedUp: false));
    }

    [Fact]
    public void Month_that_is_used_up_is_not_spent_on_positions()
    {
        var pace = new PositionPace(_time);
        Assert.True(pace.IsDue(At(0), isMonthUsedUp: true));
        int told = 0;
        for (int second = 2; second <= 3600; second += 2)
        {
            _time.Advance(TimeSpan.FromSeconds(2));
            told += pace.IsDue(At(second), isMonthUsedUp: true) ? 1 : 0;
        }

        Assert.Equal(6, told);
        Assert.True(pace.IsDue(At(4000), isMonthUsedUp: false));
    }

    private static LogOffsets At(long durable) => new(0, 0, durable, durable);
}
