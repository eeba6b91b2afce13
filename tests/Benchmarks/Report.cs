using System.Diagnostics;
using System.Globalization;

namespace EdgeStream.Benchmarks;

/// <summary>Collects measurements and what was aimed at, and prints both as Markdown tables.</summary>
internal sealed class Report
{
    private readonly List<string> _rows = [];
    private readonly List<string> _goals = [];

    /// <summary>Runs something several times; the median of how long it took.</summary>
    public static async Task<TimeSpan> MedianAsync(int runs, Func<Task<TimeSpan>> run)
    {
        var times = new List<TimeSpan>();
        for (int i = 0; i < runs; i++)
            times.Add(await run());

        times.Sort();
        return times[runs / 2];
    }

    /// <summary>Runs two things in turn, so that what else the machine does hits both; the median of each.</summary>
    public static async Task<(TimeSpan First, TimeSpan Second)> MedianPairAsync(int runs, Func<Task<TimeSpan>> first, Func<Task<TimeSpan>> second)
    {
        var seconds = new List<TimeSpan>();
        TimeSpan median = await MedianAsync(runs, async () =>
        {
            TimeSpan time = await first();
            seconds.Add(await second());
            return time;
        });
        seconds.Sort();
        return (median, seconds[runs / 2]);
    }

    public static async Task<TimeSpan> TimeAsync(Func<Task> action)
    {
        long start = Stopwatch.GetTimestamp();
        await action();
        return Stopwatch.GetElapsedTime(start);
    }

    public static TimeSpan Time(Action action)
    {
        long start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start);
    }

    /// <param name="what">What was measured.</param>
    /// <param name="records">How many records it was.</param>
    /// <param name="bytes">How many bytes of log they are.</param>
    /// <param name="time">How long it took.</param>
    /// <param name="limit">The limit beside it, or empty.</param>
    /// <param name="limitTime">How long the limit took for the same bytes.</param>
    public void Add(string what, long records, long bytes, TimeSpan time, string limit = "", TimeSpan? limitTime = null)
    {
        string ratio = limitTime is { } raw
            ? string.Create(CultureInfo.InvariantCulture, $"{limit}: {Rate(bytes, raw):0} MB/s; {raw / time:P0} of it")
            : "";
        string row = string.Create(
            CultureInfo.InvariantCulture, $"| {what} | {records / time.TotalSeconds:#,0} | {Rate(bytes, time):0.0} | {ratio} |");
        Note(row);
    }

    /// <summary>A row of another kind for the first table.</summary>
    public void Note(string row)
    {
        _rows.Add(row);
        Console.WriteLine(row);
    }

    /// <summary>Notes a figure beside what was aimed at.</summary>
    /// <param name="figure">What it is.</param>
    /// <param name="value">What came out.</param>
    /// <param name="goal">What it should be.</param>
    /// <param name="unit">"%" for a share, "×" for a factor, or the unit's name.</param>
    /// <param name="atMost">Whether the goal is a ceiling; a floor otherwise.</param>
    public void Goal(string figure, double value, double goal, string unit, bool atMost = false)
    {
        bool reached = atMost ? value <= goal : value >= goal;
        string row = $"| {figure} | {Format(value, unit)} | {(atMost ? "≤" : "≥")} {Format(goal, unit)} | {(reached ? "yes" : "**no**")} |";
        _goals.Add(row);
        Console.WriteLine(row);
    }

    public void Print()
    {
        Console.WriteLine();
        Console.WriteLine("| what | records/s | MB/s | beside |");
        Console.WriteLine("|---|---:|---:|---|");
        _rows.ForEach(Console.WriteLine);
        if (_goals.Count == 0)
            return;

        Console.WriteLine();
        Console.WriteLine("| figure | value | goal | reached |");
        Console.WriteLine("|---|---:|---:|---|");
        _goals.ForEach(Console.WriteLine);
    }

    private static double Rate(long bytes, TimeSpan time) => bytes / time.TotalSeconds / 1e6;

    private static string Format(double value, string unit) => unit switch
    {
        "%" => value.ToString("P0", CultureInfo.InvariantCulture),
        "×" => value.ToString("0.00", CultureInfo.InvariantCulture) + " ×",
        _ => value.ToString("#,0", CultureInfo.InvariantCulture) + " " + unit,
    };
}
