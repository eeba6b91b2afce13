using EdgeStream.Storage.Time;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Time;

public class LogClockTests : LogClockTestBase
{
    [Fact]
    public void Records_from_before_the_clock_was_set_are_corrected_exactly()
    {
        Write(100);
        AssertTimes(TimeCertainty.Unknown, 0, 100);
        Clock.Advance(Hour);
        Clock.Synchronise();
        Write(200);
        AssertTimes(TimeCertainty.Corrected, 0, 100);
        AssertTimes(TimeCertainty.Right, 100, 300);

        Log = Open();
        AssertTimes(TimeCertainty.Corrected, 0, 100);
        AssertTimes(TimeCertainty.Right, 100, 300);
    }

    [Fact]
    public void Only_boots_that_came_to_know_the_time_are_corrected()
    {
        Write(10); // never set
        Reboot(Hour);
        Write(10);
        Clock.Synchronise();
        Write(10);
        Reboot(Hour); // never set, and shows the same times as the boots before
        Write(10);
        Reboot(Hour);
        Write(10);
        Clock.Synchronise();
        Write(10);
        Log = Open();
        AssertTimes(TimeCertainty.Unknown, 0, 10);
        AssertTimes(TimeCertainty.Corrected, 10, 20);
        AssertTimes(TimeCertainty.Right, 20, 30);
        AssertTimes(TimeCertainty.Unknown, 30, 40);
        AssertTimes(TimeCertainty.Corrected, 40, 50);
        AssertTimes(TimeCertainty.Right, 50, 60);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(-1)]
    public void Step_of_fifty_years_is_corrected_by_what_is_known_before_or_after_it(int direction)
    {
        Clock.Synchronise();
        Write(10);
        Clock.Step(direction * FakeClock.FiftyYears, synchronised: false);
        Write(100);
        AssertTimes(TimeCertainty.Corrected, 10, 110); // by what was known before
        Clock.Step(-direction * FakeClock.FiftyYears, synchronised: false);
        Write(100);
        Clock.Synchronise();
        Write(10);
        Log = Open();
        AssertTimes(TimeCertainty.Right, 0, 10);
        AssertTimes(TimeCertainty.Corrected, 10, 110);
        AssertTimes(TimeCertainty.Right, 110, 220);
    }

    [Fact]
    public void Reboot_into_a_past_that_was_seen_before_is_corrected_on_its_own()
    {
        Clock.Synchronise();
        Write(100);
        long seen = Records[50].Stored;

        // A clock that was saved some time before the power failed: it shows again what it has shown.
        Reboot(3 * Hour, seen);
        Write(30);
        AssertTimes(TimeCertainty.Unknown, 100, 130);
        Clock.Synchronise();
        Write(1);
        AssertTimes(TimeCertainty.Right, 0, 100);
        AssertTimes(TimeCertainty.Corrected, 100, 130);
        AssertTimes(TimeCertainty.Right, 130, 131);
    }

    [Fact]
    public void Timestamps_of_devices_are_left_alone()
    {
        Write(10);
        long later = Clock.Wall + (long)Hour.TotalMilliseconds;
        long[] devices = [long.MinValue, -1 /* Kafka's "none" */, Clock.True, later, Clock.True * 2, long.MaxValue];
        Clock.Advance(10 * Second);
        Clock.Synchronise();
        Write(200);

        // A device that started when this machine did, but whose clock was never set, long after this one's was.
        Assert.Equal(new CorrectedTime(Records[9].Stored, TimeCertainty.Unknown), Log.Correct(205, Records[9].Stored));
        Reboot(Hour);
        Write(10);
        Assert.Equal(new CorrectedTime(Records[9].Stored, TimeCertainty.Unknown), Log.Correct(205, Records[9].Stored));
        foreach (long stamp in devices)
        {
            Assert.Equal(stamp, Log.Correct(3, stamp).Timestamp);
            Assert.NotEqual(TimeCertainty.Corrected, Log.Correct(3, stamp).Certainty);
            Assert.Equal(stamp, Log.Correct(205, stamp).Timestamp);
            Assert.Equal(stamp, Log.Correct(215, stamp).Timestamp);
        }
    }

    [Fact]
    public void Timestamps_of_devices_are_left_alone_where_nobody_knows_when_the_machine_stopped()
    {
        Clock.Synchronise();
        Write(10);
        Clock.Step(-FakeClock.FiftyYears, synchronised: false);
        Write(100);
        long stamp = Clock.True;
        Assert.Equal(new CorrectedTime(stamp, TimeCertainty.Unknown), Log.Correct(109, stamp));
        Reboot(Hour);
        Assert.Equal(new CorrectedTime(stamp, TimeCertainty.Unknown), Log.Correct(109, stamp));
    }

    [Fact]
    public void Records_that_were_under_way_when_the_clock_was_set_are_corrected()
    {
        Write(100);

        // Stamped before the clock was set, given an offset after that was noticed.
        Clock.Advance(Second);
        (long Stored, long True) late = (Clock.Wall, Clock.True);
        Clock.Advance(Second);
        Clock.Synchronise();
        (long Stored, long True) early = (Clock.Wall, Clock.True);
        Records.Add(early); // stamped after, stored before it is noticed
        Clock.Advance(Second);
        Log.Note(Records.Count);
        Records.Add(late);
        Write(200);
        foreach (bool reopen in (bool[])[false, true])
        {
            if (reopen)
                Log = Open();

            AssertTimes(TimeCertainty.Corrected, 0, 100);
            AssertTimes(TimeCertainty.Right, 100, 101);
            AssertTimes(TimeCertainty.Corrected, 101, 102);
            AssertTimes(TimeCertainty.Right, 102, 302);
        }
    }

    [Fact]
    public void Clock_that_was_right_once_stays_right_without_a_time_server()
    {
        Clock.Synchronise();
        Write(10);
        int anchors = Log.Anchors.Length;
        Clock.LoseSynchronisation();
        Write(10);
        Log = Open();
        Write(10);
        Clock.Synchronise();
        Write(10);
        Assert.Equal(anchors, Log.Anchors.Length);
        AssertTimes(TimeCertainty.Right, 0, 40);
    }

    [Fact]
    public void Many_small_steps_are_one_large_one()
    {
        Clock.Synchronise();
        Write(1);
        for (int i = 0; i < 20; i++)
        {
            Clock.Step(TimeSpan.FromMilliseconds(300), synchronised: false);
            Write(1);
        }

        Assert.InRange(Log.Anchors.Length, 5, 7);
        for (int offset = 0; offset < Records.Count; offset++)
            Assert.InRange(Correct(offset).Timestamp - Records[offset].True, -1000, 1000);
    }

    [Fact]
    public void Log_that_lost_its_end_forgets_what_was_known_of_it()
    {
        Write(100);
        Clock.Synchronise();
        Write(100);

        // The records were not durable when the power failed; the anchors, as it happens, were.
        Records.RemoveRange(50, 150);
        Reboot(Hour);
        Write(100);
        Log = Open();
        AssertTimes(TimeCertainty.Corrected, 0, 50);
        AssertTimes(TimeCertainty.Unknown, 50, 150);
        Clock.Synchronise();
        Write(1);
        Log = Open();
        AssertTimes(TimeCertainty.Corrected, 0, 150);
    }

    [Fact]
    public void Log_that_lost_its_end_without_a_reboot_goes_on_with_the_clock_as_it_is()
    {
        Write(100);
        Clock.Synchronise();
        Write(100);
        Records.RemoveRange(50, 150);
        Log = Open();
        Write(200);
        AssertTimes(TimeCertainty.Corrected, 0, 50);
        AssertTimes(TimeCertainty.Right, 50, 250);
    }

    [Fact]
    public void What_lies_below_the_start_of_the_log_is_forgotten_and_the_rest_is_not()
    {
        for (int boot = 0; boot < 5; boot++)
        {
            Reboot(Hour);
            Write(10);
            Clock.Synchronise();
            Write(10);
        }

        Clock.Step(FakeClock.FiftyYears, synchronised: false);
        Write(10);
        Log.Forget(65);
        Assert.Equal(5, Log.Anchors.Length); // of offsets 60, 70, 80, 90 and 100
        AssertTimes(TimeCertainty.Corrected, 80, 90);

        // The last boot knew the time below the start only, and has to know it still.
        Log.Forget(105);
        Log.Forget(106);
        Assert.Equal(2, Log.Anchors.Length);
        AssertTimes(TimeCertainty.Corrected, 105, 110);
        Assert.Equal(TimeCertainty.Unknown, Log.Correct(10, Records[10].Stored).Certainty);

        Log = Open();
        AssertTimes(TimeCertainty.Corrected, 0, 10);
        Log.Forget(105);
        AssertTimes(TimeCertainty.Corrected, 105, 110);
    }

    [Fact]
    public void Ten_thousand_boots_leave_a_thousand_anchors_and_correct_the_newest()
    {
        for (int boot = 0; boot < 10_000; boot++)
        {
            Reboot(Hour);
            Write(1);
            Clock.Synchronise();
            Write(1);
            Assert.InRange(new FileInfo(ClockFile).Length, 0, 8 + (1000 * ClockAnchor.Size));
            Assert.InRange(Log.Anchors.Length, 1, 1000);
        }

        int count = Records.Count;
        for (int offset = count - 700; offset < count; offset += 2)
        {
            AssertTimes(TimeCertainty.Corrected, offset, offset + 1);
            AssertTimes(TimeCertainty.Right, offset + 1, offset + 2);
        }

        Assert.Equal(TimeCertainty.Unknown, Correct(0).Certainty);
    }

    [Fact]
    public void Boots_in_which_nothing_was_stored_do_not_push_out_the_others()
    {
        Write(10);
        Clock.Synchronise();
        Write(10);
        for (int boot = 0; boot < 3000; boot++)
        {
            Reboot(Hour);
            Clock.Synchronise();
            Log.Note(Records.Count);
        }

        Log = Open();
        AssertTimes(TimeCertainty.Corrected, 0, 10);
        AssertTimes(TimeCertainty.Right, 10, 20);
    }

    [Fact]
    public void Nothing_to_note_costs_neither_memory_nor_disk()
    {
        Write(200);
        Clock.Synchronise();
        Write(200);
        Files.BeforeWrite = _ => Assert.Fail("wrote");
        Files.BeforeCreate = _ => Assert.Fail("created");
        Assert.Equal(0, Allocated.Least(() =>
        {
            for (int i = 0; i < 1_000; i++)
            {
                Log.Note(Records.Count);
                Log.Correct(100, 42);
            }
        }));
        Assert.Equal(0, Files.Syncs);
    }

    [Fact]
    public async Task Readers_see_no_half_of_a_change()
    {
        Write(100);
        Clock.Synchronise();
        Write(100);
        using var stop = new CancellationTokenSource();
        Task<int> reader = Task.Run(() =>
        {
            int reads = 0;
            for (; !stop.IsCancellationRequested || reads == 0; reads++)
            {
                Assert.Equal(Records[50].True, Log.Correct(50, Records[50].Stored).Timestamp);
                Assert.Equal(Records[150].True, Log.Correct(150, Records[150].Stored).Timestamp);
            }

            return reads;
        });
        for (int i = 0; i < 300; i++)
        {
            Clock.Step(FakeClock.FiftyYears, synchronised: false);
            Log.Note(200 + (2 * i));
            Clock.Synchronise();
            Log.Note(201 + (2 * i));
            Log.Forget(20);
        }

        await stop.CancelAsync();
        Assert.True(await reader > 0);
    }
}
