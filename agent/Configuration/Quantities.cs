using System.Globalization;

namespace EdgeStream.Agent.Configuration;

/// <summary>Sizes and times as people write them.</summary>
public static class Quantities
{
    private static readonly (string Suffix, double Seconds)[] TimeUnits =
        [("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("d", 86400)];

    /// <summary>A time such as <c>500ms</c>, <c>30s</c>, <c>5m</c>, <c>2h</c> or <c>7d</c>; greater than zero.</summary>
    public static bool TryParseTime(string text, out TimeSpan time)
    {
        foreach ((string suffix, double seconds) in TimeUnits)
        {
            if (text.EndsWith(suffix, StringComparison.Ordinal)
                && double.TryParse(
                    text.AsSpan(0, text.Length - suffix.Length), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number)
                && number > 0
                && number * seconds < TimeSpan.FromDays(36500).TotalSeconds)
            {
                time = TimeSpan.FromSeconds(number * seconds);
                return true;
            }
        }

        time = default;
        return false;
    }

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
