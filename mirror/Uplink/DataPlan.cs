using System.Globalization;
using System.Text;
using EdgeStream.Storage.Files;

namespace EdgeStream.Mirror.Uplink;

/// <summary>What a metered link may carry.</summary>
/// <param name="BytesPerMonth">Both ways together, in a calendar month of local time; null where nobody counts.</param>
/// <param name="FreeFrom">When hours begin that are not counted; the same as <paramref name="FreeUntil"/> where there are none.</param>
/// <param name="FreeUntil">When they end; they may go over midnight.</param>
public sealed record DataPlanOptions(long? BytesPerMonth = null, TimeOnly FreeFrom = default, TimeOnly FreeUntil = default)
{
    public bool IsFree(TimeOnly now) => FreeFrom != FreeUntil && now.IsBetween(FreeFrom, FreeUntil);
}

/// <summary>
/// Keeps an uplink within its month's data, free hours excepted: when it is used up, data waits; the link itself stays, for
/// what it costs to keep. Safe from any thread.
/// </summary>
/// <remarks>
/// What was used is kept in a file, written after each hundredth of the month's data (and once at the end), so that a crash
/// forgets no more than that. A clock that goes back does not begin a month anew; one that was never set counts for the month
/// that was known last.
/// </remarks>
internal sealed class DataPlan
{
    private static readonly TimeSpan AskAgain = TimeSpan.FromMinutes(1);

    private readonly Lock _lock = new();
    private readonly DataPlanOptions _options;
    private readonly string _path;
    private readonly WireMeter _meter;
    private readonly TimeProvider _time;
    private long _seen;
    private long _used;
    private long _saved;
    private int _month;

    /// <param name="options">The plan.</param>
    /// <param name="path">The file in which it is kept what was used.</param>
    /// <param name="meter">What goes over the link.</param>
    /// <param name="time">Its local wall clock is used.</param>
    public DataPlan(DataPlanOptions options, string path, WireMeter meter, TimeProvider time)
    {
        (_options, _path, _meter, _time) = (options, path, meter, time);
        _seen = meter.Sent + meter.Received;
        (_month, _used) = Load(path);
        _saved = _used;
    }

    /// <summary>Bytes counted in this month.</summary>
    public long UsedBytes
    {
        get
        {
            lock (_lock)
            {
                Count();
                return _used;
            }
        }
    }

    /// <summary>Why data waits, in one line; null where it does not.</summary>
    public string? Problem => Wait() > TimeSpan.Zero
        ? string.Create(
            CultureInfo.InvariantCulture,
            $"the month's data ({_options.BytesPerMonth} bytes) is used up; it goes on {(_options.FreeFrom == _options.FreeUntil ? "" : $"at {_options.FreeFrom:HH:mm} or ")}with the next month")
        : null;

    /// <summary>How long to wait before asking again whether data may go; zero where it may go now.</summary>
    public TimeSpan Wait()
    {
        if (_options.BytesPerMonth is not { } limit)
            return TimeSpan.Zero;

        lock (_lock)
        {
            bool free = Count();
            return free || _used < limit ? TimeSpan.Zero : AskAgain;
        }
    }

    /// <summary>Writes down what was used.</summary>
    public void Save()
    {
        if (_options.BytesPerMonth is null)
            return;

        lock (_lock)
        {
            Count();
            Write();
        }
    }

    private bool Count()
    {
        DateTimeOffset now = _time.GetLocalNow();
        int month = (now.Year * 12) + now.Month;
        if (month > _month)
            (_month, _used, _saved) = (month, 0, -1);

        long total = _meter.Sent + _meter.Received;
        bool free = _options.IsFree(TimeOnly.FromTimeSpan(now.TimeOfDay));
        if (!free)
            _used += total - _seen;

        _seen = total;
        if (_options.BytesPerMonth is { } limit && (_saved < 0 || _used - _saved >= Math.Max(limit / 100, 1)))
            Write();

        return free;
    }

    private void Write()
    {
        if (_used == _saved)
            return;

        _saved = _used;
        try
        {
            string text = string.Create(CultureInfo.InvariantCulture, $"{_month} {_used}\n");
            SmallFile.Replace(DiskFiles.Instance, _path, Encoding.ASCII.GetBytes(text));
        }
        catch (IOException)
        {
            // A full disk: the count goes on in memory, and is written with the next hundredth.
        }
    }

    private static (int Month, long Used) Load(string path)
    {
        byte[]? contents = SmallFile.TryRead(DiskFiles.Instance, path);
        string[] parts = contents is null ? [] : Encoding.ASCII.GetString(contents).Split();
        return parts.Length >= 2
            && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int month)
            && long.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out long used)
            ? (month, used)
            : (0, 0);
    }
}
