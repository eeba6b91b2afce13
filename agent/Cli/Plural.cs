using System.Globalization;

namespace EdgeStream.Agent.Cli;

/// <summary>Counts things for people.</summary>
internal static class Plural
{
    /// <summary>"1 topic", "2 topics".</summary>
    public static string Of(long count, string what) =>
        string.Create(CultureInfo.InvariantCulture, $"{count:N0} {what}{(count == 1 ? "" : "s")}");
}
