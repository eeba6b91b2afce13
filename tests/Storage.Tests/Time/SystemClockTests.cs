using EdgeStream.Storage.Time;

namespace EdgeStream.Storage.Tests.Time;

public class SystemClockTests
{
    [Fact]
    public void Clocks_are_those_of_the_machine()
    {
        SystemClock clock = SystemClock.Instance;
        ClockReading reading = clock.Read();
        long now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        Assert.InRange(reading.Wall, now - 10_000, now);
        Assert.Equal(File.ReadAllText("/proc/sys/kernel/random/boot_id").Trim(), reading.BootId.ToString());

        // Both count suspended time, unlike Environment.TickCount64.
        string upTime = File.ReadAllText("/proc/uptime").Split(' ')[0];
        double seconds = double.Parse(upTime, System.Globalization.CultureInfo.InvariantCulture);
        Assert.InRange(reading.Monotonic / 1000.0, seconds - 10, seconds + 0.1);
        Assert.True(clock.Read().Continues(reading));
        Assert.InRange(clock.Monotonic, reading.Monotonic, reading.Monotonic + 10_000);
    }

    [Fact]
    public void Reading_allocates_nothing()
    {
        Assert.Equal(0, Allocated.Least(() =>
        {
            for (int i = 0; i < 1000; i++)
                SystemClock.Instance.Read();
        }));
    }
}
