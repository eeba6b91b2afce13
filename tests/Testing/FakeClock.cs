using EdgeStream.Storage.Time;

namespace EdgeStream.Testing;

/// <summary>
/// A machine's clocks in the hands of a test, which knows the true time. The machine has no clock chip: it starts in 1970.
/// </summary>
public sealed class FakeClock : IClockSource
{
    public static readonly TimeSpan FiftyYears = TimeSpan.FromDays(50 * 365.25);

    private readonly Lock _lock = new();
    private Guid _bootId = Guid.NewGuid();
    private long _monotonic = 5000;
    private long _wallAtBoot;
    private bool _synchronised;

    public long Monotonic
    {
        get
        {
            lock (_lock)
                return _monotonic;
        }
    }

    /// <summary>The true time, ms since 1970.</summary>
    public long True { get; private set; } = 1_790_000_000_000;

    /// <summary>What the wall clock shows, ms since 1970.</summary>
    public long Wall => Read().Wall;

    public ClockReading Read()
    {
        lock (_lock)
            return new ClockReading(_bootId, _monotonic, _wallAtBoot + _monotonic, _synchronised);
    }

    /// <summary>Time passes, as all clocks agree.</summary>
    public void Advance(TimeSpan time)
    {
        lock (_lock)
        {
            _monotonic += (long)time.TotalMilliseconds;
            True += (long)time.TotalMilliseconds;
        }
    }

    /// <summary>Something sets the wall clock right, and says that it is.</summary>
    public void Synchronise()
    {
        lock (_lock)
        {
            _wallAtBoot = True - _monotonic;
            _synchronised = true;
        }
    }

    /// <summary>Somebody sets the wall clock.</summary>
    public void Step(TimeSpan by, bool synchronised)
    {
        lock (_lock)
        {
            _wallAtBoot += (long)by.TotalMilliseconds;
            _synchronised = synchronised;
        }
    }

    /// <summary>The kernel takes its word back: no time server has been heard for hours. No clock moves.</summary>
    public void LoseSynchronisation()
    {
        lock (_lock)
            _synchronised = false;
    }

    /// <summary>The machine is off for a while and starts with a wall clock that shows <paramref name="wall"/>.</summary>
    public void Reboot(TimeSpan off, long wall = 5000)
    {
        lock (_lock)
        {
            True += (long)off.TotalMilliseconds;
            _bootId = Guid.NewGuid();
            _monotonic = 5000;
            _wallAtBoot = wall - _monotonic;
            _synchronised = false;
        }
    }
}
