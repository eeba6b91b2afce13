using EdgeStream.Storage.Time;

namespace EdgeStream.Storage.Tests.Time;

/// <summary>A log that is a copy corrects as its original does, whatever way the anchors came to it.</summary>
public sealed class CopiedClockTests : LogClockTestBase
{
    private readonly EdgeStream.Testing.TempDirectory _copy = new();

    [Fact]
    public void Copy_corrects_what_the_original_corrects()
    {
        LogClock copy = OpenCopy();
        WriteSeveralBoots(step => AdoptNews(copy));
        AssertSame(copy);
        AssertSame(OpenCopy());
    }

    [Fact]
    public void Copy_that_comes_late_gets_all_of_it_at_once()
    {
        WriteSeveralBoots(_ => { });
        LogClock copy = OpenCopy();
        AdoptNews(copy);
        AssertSame(copy);
        AssertSame(OpenCopy());
    }

    [Fact]
    public void Anchors_that_the_original_has_dropped_are_replaced()
    {
        Write(10);
        LogClock copy = OpenCopy();
        AdoptNews(copy);
        Reboot(Hour);
        AdoptNews(copy); // a boot in which nothing is stored
        Reboot(Hour);
        AdoptNews(copy);
        Write(10);
        Clock.Synchronise();
        Write(10);
        AdoptNews(copy);
        AssertSame(copy);
    }

    [Fact]
    public void Nobody_is_asked_for_the_time_by_a_copy()
    {
        LogClock copy = OpenCopy();
        copy.Note(5);
        Assert.Empty(copy.History.Anchors.ToArray());
        Assert.Equal(new CorrectedTime(1000, TimeCertainty.Unknown), copy.Correct(0, 1000));
    }

    [Fact]
    public void What_is_no_anchor_changes_nothing()
    {
        Write(10);
        Clock.Synchronise();
        Write(10);
        LogClock copy = OpenCopy();
        byte[] anchors = Log.History.EncodeBehind([]);
        byte[] damaged = [.. anchors];
        damaged[anchors.Length - 1] ^= 1;
        copy.Adopt(damaged.AsSpan(damaged.Length - ClockAnchor.Size));
        copy.Adopt(anchors.AsSpan(0, ClockAnchor.Size - 1));
        copy.Adopt([]);
        Assert.Empty(copy.History.Anchors.ToArray());
        copy.Adopt(anchors);
        AssertSame(copy);
    }

    private void WriteSeveralBoots(Action<int> afterEach)
    {
        for (int boot = 0; boot < 3; boot++)
        {
            Write(10);
            afterEach(boot);
            if (boot != 1)
                Clock.Synchronise();

            Write(10);
            afterEach(boot);
            Reboot(Hour);
            afterEach(boot);
        }
    }

    private LogClock OpenCopy() => LogClock.Open(Files, _copy.Path, clock: null, Records.Count);

    private void AdoptNews(LogClock copy) => copy.Adopt(Log.History.EncodeBehind(copy.History.EncodeLast()));

    private void AssertSame(LogClock copy)
    {
        Assert.NotEmpty(Records);
        for (int offset = 0; offset < Records.Count; offset++)
            Assert.Equal((offset, Correct(offset)), (offset, copy.Correct(offset, Records[offset].Stored)));
    }
}
