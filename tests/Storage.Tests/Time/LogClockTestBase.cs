using EdgeStream.Storage.Time;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Time;

/// <summary>A log of timestamps that knows when each record was truly made.</summary>
public abstract class LogClockTestBase : IDisposable
{
    protected static readonly TimeSpan Second = TimeSpan.FromSeconds(1);
    protected static readonly TimeSpan Hour = TimeSpan.FromHours(1);

    private readonly TempDirectory _temp = new();

    protected LogClockTestBase() => Log = Open();

    protected FakeClock Clock { get; } = new();

    protected FaultyFiles Files { get; } = new();

    protected LogClock Log { get; set; }

    /// <summary>What was stamped, and what should have been, by offset.</summary>
    protected List<(long Stored, long True)> Records { get; } = [];

    protected string LogDirectory => _temp.Path;

    protected string ClockFile => _temp.Sub(LogClock.FileName);

    public void Dispose() => _temp.Dispose();

    protected LogClock Open() => LogClock.Open(Files, LogDirectory, Clock, Records.Count);

    protected void Reboot(TimeSpan off, long wall = 5000)
    {
        Clock.Reboot(off, wall);
        Log = Open();
    }

    /// <summary>Records, one a second, each committed on its own.</summary>
    protected void Write(int count)
    {
        for (int i = 0; i < count; i++)
        {
            Clock.Advance(Second);
            Log.Note(Records.Count);
            Records.Add((Clock.Wall, Clock.True));
        }
    }

    protected CorrectedTime Correct(int offset) => Log.Correct(offset, Records[offset].Stored);

    /// <summary>Checks the certainty of a range of records, and that the time is the true one where it is said to be.</summary>
    protected void AssertTimes(TimeCertainty certainty, int from, int to)
    {
        for (int offset = from; offset < to; offset++)
        {
            long expected = certainty == TimeCertainty.Unknown ? Records[offset].Stored : Records[offset].True;
            Assert.Equal((offset, new CorrectedTime(expected, certainty)), (offset, Correct(offset)));
        }
    }
}
