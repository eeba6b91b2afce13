using EdgeStream.Devices.Gpio;

namespace EdgeStream.Devices.Tests.Gpio;

public sealed class DebouncerTests
{
    private static readonly TimeSpan Settle = TimeSpan.FromMilliseconds(5);

    [Fact]
    public void Change_counts_once_the_line_was_still()
    {
        var debouncer = new Debouncer(Settle, initial: false);
        debouncer.Add(true, At(0));

        Assert.False(debouncer.TryTake(At(4), out _, out _));
        Assert.Equal(At(5), debouncer.DueAt);
        Assert.True(debouncer.TryTake(At(5), out bool level, out _));
        Assert.True(level);
        Assert.Null(debouncer.DueAt);
    }

    [Fact]
    public void Bouncing_that_ends_where_it_began_is_no_change()
    {
        var debouncer = new Debouncer(Settle, initial: false);
        debouncer.Add(true, At(0));
        debouncer.Add(false, At(1));

        Assert.False(debouncer.TryTake(At(100), out _, out _));
    }

    [Fact]
    public void Bouncing_starts_the_time_anew_and_counts_once()
    {
        var debouncer = new Debouncer(Settle, initial: false);
        foreach (int at in (int[])[0, 1, 2, 3, 4])
            debouncer.Add(at % 2 == 0, At(at));

        Assert.False(debouncer.TryTake(At(8), out _, out _));
        Assert.True(debouncer.TryTake(At(9), out bool level, out _));
        Assert.True(level);
        Assert.False(debouncer.TryTake(At(100), out _, out _));
    }

    private static TimeSpan At(int milliseconds) => TimeSpan.FromMilliseconds(milliseconds);
}
