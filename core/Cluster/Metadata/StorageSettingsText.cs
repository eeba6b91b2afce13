using System.Globalization;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Retention;

namespace EdgeStream.Cluster.Metadata;

/// <summary>
/// A topic's settings of how long its records are kept and count, and where they flow, as names and values: so the metadata and the
/// partitions' manifests keep them. Absent stands for the default, and so does what cannot be read.
/// </summary>
internal static class StorageSettingsText
{
    private const string RetentionBytes = "retention-bytes";
    private const string RetentionAge = "retention-age-ms";
    private const string Overflow = "overflow";
    private const string SyncInterval = "sync-interval-ms";
    private const string Replicas = "replicas";
    private const string Down = "down-to";
    private const string TimeToLive = "time-to-live-ms";

    public static IReadOnlyList<string> Names { get; } = [RetentionBytes, RetentionAge, Overflow, SyncInterval, Replicas, Down, TimeToLive];

    public static Dictionary<string, string> Write(TopicSettings settings)
    {
        var values = new Dictionary<string, string>();
        if (settings.RetentionBytes is { } bytes)
            values[RetentionBytes] = Text(bytes);

        if (settings.RetentionAge is { } age)
            values[RetentionAge] = Text((long)age.TotalMilliseconds);

        if (settings.Overflow != default)
            values[Overflow] = settings.Overflow.ToString();

        if (settings.Sync != SyncPolicy.Commit)
            values[SyncInterval] = Text((long)settings.Sync.Interval.TotalMilliseconds);

        if (settings.Replicas > 1)
            values[Replicas] = Text(settings.Replicas);

        if (settings.IsDown)
            values[Down] = settings.Down.ToString();

        if (settings.TimeToLive is { } timeToLive)
            values[TimeToLive] = Text((long)timeToLive.TotalMilliseconds);

        return values;
    }

    public static TopicSettings Read(TopicSettings settings, Func<string, string?> value) => settings with
    {
        RetentionBytes = Number(value(RetentionBytes)),
        RetentionAge = Number(value(RetentionAge)) is { } age ? TimeSpan.FromMilliseconds(age) : null,
        Overflow = Enum.TryParse(value(Overflow), out OverflowPolicy overflow) ? overflow : default,
        Sync = Number(value(SyncInterval)) is { } interval ? SyncPolicy.Every(TimeSpan.FromMilliseconds(interval)) : SyncPolicy.Commit,
        Replicas = Number(value(Replicas)) is { } replicas and <= TopicLimits.MaxReplicas ? (int)replicas : 1,
        Down = Enum.TryParse(value(Down), out DownTo down) ? down : default,
        TimeToLive = Number(value(TimeToLive)) is { } life ? TimeSpan.FromMilliseconds(life) : null,
    };

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);

    private static long? Number(string? text) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number is > 0 and < (1L << 50) ? number : null;
}
