using EdgeStream.Mirror.Uplink;
using EdgeStream.Testing;
using Microsoft.Extensions.Time.Testing;

namespace EdgeStream.Mirror.Tests.Uplink;

public sealed class LinkLimitsTests : IDisposable
{
    private readonly TempDirectory _temp = new();
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2030, 6, 14, 12, 0, 0, TimeSpan.Zero));

    public LinkLimitsTests()
    {
        _time.SetLocalTimeZone(TimeZoneInfo.Utc);
        Directory.CreateDirectory(Data);
    }

    private string Data => _temp.Sub("data");

    public void Dispose() => _temp.Dispose();

    [Fact]
    public void Bandwidth_is_kept_whatever_the_sizes()
    {
        LinkLimits limits = Open(new UplinkOptions { BytesPerSecond = 25_000 });
        var random = new Random(1);
        DateTimeOffset start = _time.GetUtcNow();
        while (_time.GetUtcNow() - start < TimeSpan.FromMinutes(1))
        {
            TimeSpan wait = limits.Wait();
            if (wait == TimeSpan.Zero)
                Use(limits, random.Next(1, 5000));
            else
                _time.Advance(wait);
        }

        Assert.InRange(limits.Meter.Sent, 60 * 25_000 * 0.99, (60 * 25_000) + 25_000);
    }

    [Fact]
    public void What_goes_without_asking_never_stops_data()
    {
        LinkLimits limits = Open(new UplinkOptions { BytesPerSecond = 25_000 });
        int turns = 0;
        for (int i = 0; i < 600; i++)
        {
            Use(limits, 10_000);
            turns += limits.Wait() == TimeSpan.Zero ? 1 : 0;
            _time.Advance(TimeSpan.FromMilliseconds(100));
        }

        // About one in each two seconds.
        Assert.InRange(turns, 20, 40);
    }

    [Fact]
    public void It_is_said_that_data_waits_for_the_bandwidth_while_it_does()
    {
        LinkLimits limits = Open(new UplinkOptions { BytesPerSecond = 25_000 });
        Assert.Equal((TimeSpan.Zero, null), (limits.Wait(), limits.Waiting));
        Use(limits, 10_000);
        Assert.True(limits.Wait() > TimeSpan.Zero);
        Assert.Contains("uplink.bandwidth lets 200 kbit/s through", limits.Waiting, StringComparison.Ordinal);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal((TimeSpan.Zero, null), (limits.Wait(), limits.Waiting));
    }

    [Fact]
    public void A_quarter_of_what_may_go_may_go_ahead_and_nothing_once_the_month_is_used_up()
    {
        LinkLimits limits = Open(Plan with { BytesPerSecond = 4000 });
        var share = new LinkShare(limits, new FlowWindow(_time), _time);
        long ahead = 0;
        for (int i = 0; i < 600; i++)
        {
            if (share.RoomAhead > 0)
            {
                share.WentAhead(1400);
                ahead += 1500;
            }

            _time.Advance(TimeSpan.FromMilliseconds(100));
        }

        Assert.InRange(ahead, 57_000, 62_000);
        Use(limits, 2_000_000);
        Assert.True(share.IsMonthUsedUp);
        Assert.Equal(0, share.RoomAhead);
    }

    [Fact]
    public void Months_data_is_kept_and_the_free_hours_do_not_count()
    {
        LinkLimits limits = Open(Plan);
        Use(limits, 999_000);
        Assert.Equal(TimeSpan.Zero, limits.Wait());
        Use(limits, 2000);
        Assert.True(limits.Wait() > TimeSpan.Zero);
        Assert.Contains("it goes on at 22:00 or with the next month", limits.Waiting, StringComparison.Ordinal);

        _time.SetUtcNow(new DateTimeOffset(2030, 6, 14, 23, 0, 0, TimeSpan.Zero));
        Assert.Equal(TimeSpan.Zero, limits.Wait());
        Use(limits, 50_000_000);
        Assert.Equal(TimeSpan.Zero, limits.Wait());
        Assert.Equal(1_001_000, limits.UsedThisMonth);

        _time.SetUtcNow(new DateTimeOffset(2030, 6, 15, 5, 0, 0, TimeSpan.Zero));
        Assert.True(limits.Wait() > TimeSpan.Zero);
        _time.SetUtcNow(new DateTimeOffset(2030, 7, 1, 5, 0, 0, TimeSpan.Zero));
        Assert.Equal((TimeSpan.Zero, 0L), (limits.Wait(), limits.UsedThisMonth));
    }

    [Fact]
    public void Use_is_remembered_over_a_restart_and_after_a_crash_all_but_a_hundredth()
    {
        LinkLimits limits = Open(Plan);
        for (int i = 0; i < 500; i++)
        {
            Use(limits, 1000);
            limits.Wait();
        }

        Assert.InRange(Open(Plan).UsedThisMonth, 490_000, 500_000);
        limits.Save();
        Assert.Equal(500_000, Open(Plan).UsedThisMonth);
    }

    [Fact]
    public void Clock_that_goes_back_begins_no_month_anew()
    {
        LinkLimits limits = Open(Plan);
        Use(limits, 2_000_000);
        Assert.True(limits.Wait() > TimeSpan.Zero);
        limits.Save();

        // As after a restart without a clock chip.
        var wrong = new FakeTimeProvider(DateTimeOffset.UnixEpoch + TimeSpan.FromHours(12));
        wrong.SetLocalTimeZone(TimeZoneInfo.Utc);
        Assert.True(new LinkLimits(Plan, Data, wrong).Wait() > TimeSpan.Zero);
    }

    private static UplinkOptions Plan { get; } = new() { DataPlan = new DataPlanOptions(1_000_000, new TimeOnly(22, 0), new TimeOnly(4, 0)) };

    private LinkLimits Open(UplinkOptions options) => new(options, Data, _time);

    /// <summary>Sends so much through a metered stream.</summary>
    private static void Use(LinkLimits limits, int bytes)
    {
        using Stream stream = limits.Meter.Meter(new MemoryStream());
        stream.Write(new byte[bytes]);
    }
}
