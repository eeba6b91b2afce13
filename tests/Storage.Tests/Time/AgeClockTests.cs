using EdgeStream.Storage.Time;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Time;

public sealed class AgeClockTests : IDisposable
{
    private static readonly TimeSpan Hour = TimeSpan.FromHours(1);
    private static readonly TimeSpan Day = TimeSpan.FromDays(1);

    private readonly TempDirectory _temp = new();
    private readonly FakeClock _clock = new();
    private readonly FaultyFiles _files = new();
    private AgeClock _age;

    public AgeClockTests() => _age = Open();

    private string ClockFile => _temp.Sub(AgeClock.FileName);

    public void Dispose() => _temp.Dispose();

    [Theory]
    [InlineData(1, true)]
    [InlineData(1, false)]
    [InlineData(-1, true)]
    [InlineData(-1, false)]
    public void Wall_clock_that_jumps_while_the_machine_runs_changes_nothing(int direction, bool synchronised)
    {
        Run(Day);
        _clock.Synchronise();
        Run(Day);
        _clock.Step(direction * FakeClock.FiftyYears, synchronised);
        AssertAge(2 * Day);
        Run(Day);
        Restart();
        AssertAge(3 * Day);
        _clock.Synchronise();
        Run(Day);
        AssertAge(4 * Day);

        // Nor in the next boot; only, which time was the right one nobody can tell, so the time off may count for nothing.
        Reboot(Hour);
        _clock.Synchronise();
        AssertAge((4 * Day) + (direction > 0 && synchronised ? TimeSpan.Zero : Hour));
        Assert.Null(_age.Problem);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(-1)]
    public void Wrong_clock_at_the_end_of_a_boot_makes_data_older_in_no_case(int direction)
    {
        _clock.Synchronise();
        Run(Day);
        _clock.Step(direction * TimeSpan.FromDays(300), synchronised: true);
        Run(Day);
        Reboot(Hour);
        _clock.Synchronise();
        Assert.InRange(_age.Now, Milliseconds(2 * Day), Milliseconds((2 * Day) + Hour));

        // And it heals.
        long before = _age.Now;
        Run(Day);
        Reboot(Hour);
        _clock.Synchronise();
        Assert.Equal(before + Milliseconds(Day + Hour), _age.Now);
    }

    [Fact]
    public void Time_off_is_added_when_the_clock_is_known_and_not_before()
    {
        _clock.Synchronise();
        Run(Day);
        long stamp = _age.Now;
        Reboot(10 * Day);
        Run(Hour);
        AssertAge(Day + Hour);
        Reboot(5 * Day, wall: _clock.True);
        Run(Hour);
        AssertAge(Day + (2 * Hour));
        _clock.Synchronise();
        AssertAge((16 * Day) + (2 * Hour));
        Assert.Equal((15 * Day) + (2 * Hour), _age.AgeOf(stamp));
        Restart();
        AssertAge((16 * Day) + (2 * Hour));
        Assert.Null(_age.Problem);
    }

    [Fact]
    public void Time_off_in_the_past_is_none()
    {
        _clock.Synchronise();
        Run(Day);
        Reboot(10 * Day, wall: _clock.True - Milliseconds(3 * Day));
        _clock.Step(TimeSpan.Zero, synchronised: true);
        AssertAge(Day);
        Assert.Null(_age.Problem);
    }

    [Fact]
    public void Time_off_that_cannot_be_is_not_believed_and_reported()
    {
        _clock.Synchronise();
        Run(Day);
        Reboot(TimeSpan.FromDays(401));
        _clock.Synchronise();
        AssertAge(Day);
        Assert.Contains("401 days", _age.Problem, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', _age.Problem!);

        // From here on it counts again, up to what the owner says.
        Run(Day);
        Reboot(399 * Day, longestOff: 398 * Day);
        _clock.Synchronise();
        AssertAge(2 * Day);
        Assert.NotNull(_age.Problem);
        Run(Day);
        Reboot(399 * Day);
        _clock.Synchronise();
        AssertAge(402 * Day);
        Assert.Null(_age.Problem);
    }

    [Fact]
    public void Power_cut_costs_ten_minutes_at_most_until_the_clock_is_known()
    {
        _clock.Synchronise();
        Run(Hour);
        var minute = TimeSpan.FromMinutes(1);
        for (int i = 0; i < 67; i++)
        {
            Run(minute);
            _age.SaveIfDue();
        }

        long before = _age.Now;
        _clock.Reboot(Hour);
        _age = Open();
        Assert.InRange(_age.Now, before - Milliseconds(10 * minute), before);
        _clock.Synchronise();
        Assert.Equal(before + Milliseconds(Hour), _age.Now);
    }

    [Fact]
    public void It_is_saved_every_ten_minutes_and_no_sooner()
    {
        _clock.Synchronise();
        _age.SaveIfDue();
        for (int i = 0; i < 24 * 60 * 60; i++)
        {
            Run(TimeSpan.FromSeconds(1));
            _age.SaveIfDue();
        }

        Assert.InRange(_files.Syncs, 140, 146);
    }

    [Fact]
    public void Process_that_is_killed_and_started_again_loses_nothing()
    {
        _clock.Synchronise();
        Run(Day);
        _age.SaveIfDue();
        Run(Hour);
        _clock.Step(-FakeClock.FiftyYears, synchronised: true);
        _age = Open();
        AssertAge(Day + Hour);
    }

    [Theory]
    [InlineData("lost")]
    [InlineData("empty")]
    [InlineData("truncated")]
    [InlineData("flipped")]
    [InlineData("garbage")]
    [InlineData("huge")]
    public void Lost_or_damaged_file_makes_everything_new(string damage)
    {
        _clock.Synchronise();
        Run(30 * Day);
        long stamp = _age.Now;
        _age.Save();
        byte[] contents = File.ReadAllBytes(ClockFile);
        var random = new Random(1);
        for (int i = 0; i < contents.Length; i++)
        {
            switch (damage)
            {
                case "lost":
                    File.Delete(ClockFile);
                    break;
                case "empty":
                    File.WriteAllBytes(ClockFile, []);
                    break;
                case "truncated":
                    File.WriteAllBytes(ClockFile, contents[..i]);
                    break;
                case "flipped":
                    File.WriteAllBytes(ClockFile, [.. contents[..i], (byte)(contents[i] ^ 4), .. contents[(i + 1)..]]);
                    break;
                case "garbage":
                    byte[] garbage = new byte[contents.Length];
                    random.NextBytes(garbage);
                    File.WriteAllBytes(ClockFile, garbage);
                    break;
                default:
                    File.WriteAllBytes(ClockFile, new byte[2 * 1024 * 1024]);
                    break;
            }

            _age = Open();
            AssertAge(TimeSpan.Zero);
            Assert.Equal(damage == "lost", _age.Problem is null);
            Assert.Equal(TimeSpan.Zero, _age.AgeOf(stamp));
        }

        Run(Day);
        Assert.Equal(TimeSpan.Zero, _age.AgeOf(stamp));
        Assert.Equal(Day, _age.AgeOf(0));
        Restart();
        AssertAge(Day);
        Assert.Null(_age.Problem);
    }

    [Fact]
    public void Stamps_that_this_clock_cannot_have_given_are_new()
    {
        Run(Day);
        Assert.Equal(TimeSpan.Zero, _age.AgeOf(long.MinValue));
        Assert.Equal(TimeSpan.Zero, _age.AgeOf(-1));
        Assert.Equal(TimeSpan.Zero, _age.AgeOf(long.MaxValue));
    }

    [Fact]
    public void Disk_that_is_full_is_a_problem_and_no_error()
    {
        Run(Day);
        _age.Save();
        _files.BeforeWrite = _ => throw FaultyFiles.DiskFull();
        Run(Day);
        _age.Save();
        Assert.Contains(ClockFile, _age.Problem, StringComparison.Ordinal);
        AssertAge(2 * Day);
        _files.BeforeWrite = null;
        _age.SaveIfDue();
        Assert.NotNull(_age.Problem);
        Run(Hour);
        _age.SaveIfDue();
        Assert.Null(_age.Problem);
    }

    private static long Milliseconds(TimeSpan time) => (long)time.TotalMilliseconds;

    private AgeClock Open(TimeSpan? longestOff = null) => AgeClock.Open(_files, _temp.Path, _clock, longestOff);

    /// <summary>The machine runs for a while, and the clock is looked at.</summary>
    private void Run(TimeSpan time)
    {
        _clock.Advance(time);
        _ = _age.Now;
    }

    private void Restart()
    {
        _age.Save();
        _age = Open();
    }

    private void Reboot(TimeSpan off, long wall = 5000, TimeSpan? longestOff = null)
    {
        _age.Save();
        _clock.Reboot(off, wall);
        _age = Open(longestOff);
    }

    private void AssertAge(TimeSpan expected) => Assert.Equal(expected, TimeSpan.FromMilliseconds(_age.Now));
}
