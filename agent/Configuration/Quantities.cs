using System.Globalization;
using EdgeStream.Devices;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Time;

namespace EdgeStream.Agent.Configuration;

/// <summary>Sizes and times as people write them.</summary>
public static class Quantities
{
    private static readonly (string Suffix, double Bytes)[] RateUnits =
        [("kbit/s", 1e3 / 8), ("Mbit/s", 1e6 / 8), ("Gbit/s", 1e9 / 8), ("bit/s", 1.0 / 8)];

    /// <summary>A time such as <c>500ms</c>, <c>30s</c>, <c>5m</c>, <c>2h</c> or <c>7d</c>; greater than zero.</summary>
    public static bool TryParseTime(string text, out TimeSpan time) => Durations.TryParse(text, out time);

    /// <summary>A size such as <c>512MiB</c>, <c>2GiB</c>, <c>1.5GB</c> or a plain number of bytes; greater than zero.</summary>
    public static bool TryParseBytes(string text, out long bytes)
    {
        bytes = 0;
        string number = text.TrimEnd([.. "BiKMGTkmgt"]);
        double factor = text[number.Length..] switch
        {
            "" or "B" => 1,
            "KiB" => 1L << 10,
            "MiB" => 1L << 20,
            "GiB" => 1L << 30,
            "TiB" => 1L << 40,
            "kB" or "KB" => 1e3,
            "MB" => 1e6,
            "GB" => 1e9,
            "TB" => 1e12,
            _ => 0,
        };
        if (factor == 0
            || !double.TryParse(number, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value)
            || value * factor is not (>= 1 and < 1L << 50))
        {
            return false;
        }

        bytes = (long)(value * factor);
        return true;
    }

    /// <summary>A rate such as <c>200kbit/s</c>, <c>2Mbit/s</c> or <c>25kB/s</c>, in bytes a second; greater than zero.</summary>
    public static bool TryParseRate(string text, out long bytesPerSecond)
    {
        bytesPerSecond = 0;
        foreach ((string suffix, double factor) in RateUnits)
        {
            if (text.EndsWith(suffix, StringComparison.Ordinal)
                && double.TryParse(
                    text.AsSpan(0, text.Length - suffix.Length), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number)
                && number * factor is >= 1 and < 1L << 50)
            {
                bytesPerSecond = (long)(number * factor);
                return true;
            }
        }

        return text.EndsWith("/s", StringComparison.Ordinal) && !text.Contains("bit", StringComparison.Ordinal)
            && TryParseBytes(text[..^2], out bytesPerSecond);
    }

    /// <summary>So many in so long: <c>100/s</c>, <c>10/m</c>, <c>5/h</c>; 1 to 1,000,000.</summary>
    public static bool TryParseRateLimit(string text, out RateLimit limit)
    {
        TimeSpan per = text.Length < 3 ? default : text[^2..] switch
        {
            "/s" => TimeSpan.FromSeconds(1),
            "/m" => TimeSpan.FromMinutes(1),
            "/h" => TimeSpan.FromHours(1),
            _ => default,
        };
        int count = 0;
        bool isGood = per > TimeSpan.Zero
            && int.TryParse(text.AsSpan(0, text.Length - 2), NumberStyles.None, CultureInfo.InvariantCulture, out count)
            && count is > 0 and <= 1_000_000;
        limit = new RateLimit(count, per);
        return isGood;
    }

    /// <summary>When to sync: <c>commit</c>, <c>os</c>, or an interval such as <c>1s</c>.</summary>
    public static bool TryParseSync(string text, out SyncPolicy sync)
    {
        sync = text == "os" ? SyncPolicy.Os : SyncPolicy.Commit;
        if (text is "os" or "commit")
            return true;

        if (!TryParseTime(text, out TimeSpan interval) || interval < TimeSpan.FromMilliseconds(1) || interval > TimeSpan.FromHours(1))
            return false;

        sync = SyncPolicy.Every(interval);
        return true;
    }

    /// <summary>A time for people, roughly: <c>45s</c>, <c>3h</c>, <c>9d</c>.</summary>
    public static string FormatTime(TimeSpan time) => time switch
    {
        { TotalDays: >= 2 } => string.Create(CultureInfo.InvariantCulture, $"{time.TotalDays:0.#}d"),
        { TotalHours: >= 2 } => string.Create(CultureInfo.InvariantCulture, $"{time.TotalHours:0.#}h"),
        { TotalMinutes: >= 2 } => string.Create(CultureInfo.InvariantCulture, $"{time.TotalMinutes:0.#}m"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.###}s"),
    };

    /// <summary>A number of bytes for people: <c>512 B</c>, <c>1.5 MiB</c>.</summary>
    public static string FormatBytes(long bytes)
    {
        string[] units = ["B", "KiB", "MiB", "GiB", "TiB"];
        double value = bytes;
        int unit = 0;
        while (value >= 1024 && unit < units.Length - 1)
        {
            value /= 1024;
            unit++;
        }

        return string.Create(CultureInfo.InvariantCulture, $"{value:0.#} {units[unit]}");
    }
}
