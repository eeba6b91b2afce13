using System.Globalization;

namespace EdgeStream.Storage.Time;

/// <summary>Times as people write them.</summary>
public static class Durations
{
    private static readonly (string Suffix, double Seconds)[] Units =
        [("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("d", 86400)];

    /// <summary>A time such as <c>500ms</c>, <c>30s</c>, <c>5m</c>, <c>2h</c> or <c>7d</c>; greater than zero, less than a century.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out TimeSpan time)
    {
        foreach ((string suffix, double seconds) in Units)
        {
            if (text.EndsWith(suffix, StringComparison.Ordinal)
                && double.TryParse(text[..^suffix.Length], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number)
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
}
