using System.Globalization;

namespace EdgeStream.Agent.Cli;

/// <summary>Instants in milliseconds since 1970, as a person reads them.</summary>
internal static class Instants
{
    private const long Max = 253_402_300_799_999; // the end of the year 9999

    /// <summary>In UTC, to the millisecond; null for what is no time.</summary>
    public static string? Format(long milliseconds) => milliseconds is >= 0 and <= Max
        ? DateTimeOffset.FromUnixTimeMilliseconds(milliseconds).ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture)
        : null;
}
