using System.Collections.Immutable;
using System.Globalization;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;

namespace EdgeStream.Cluster.Metadata;

/// <summary>
/// <c>topics/TOPIC/PARTITION/</c> under the data directory, and what of the metadata each of them repeats in its manifest, so
/// that the topics can be rebuilt when the metadata file is lost.
/// </summary>
public sealed class PartitionDirectories(string dataDirectory)
{
    private const string MirrorSetting = "mirror";
    private const string CompressionSetting = "compression";
    private const string GeoLocationSetting = "geo-location";

    public string Root { get; } = Path.Combine(dataDirectory, "topics");

    public string PathOf(string topic) => Path.Combine(Root, Names.CheckTopic(topic));

    public string PathOf(PartitionId id) =>
        Path.Combine(PathOf(id.Topic), id.Partition.ToString(CultureInfo.InvariantCulture));

    public static PartitionManifest NewManifest(TopicInfo topic, PartitionInfo partition)
    {
        var settings = new Dictionary<string, string>
        {
            [MirrorSetting] = topic.Settings.Mirror ? "true" : "false",
            [CompressionSetting] = topic.Settings.Compression.ToString(),
        };
        if (partition.GeoLocation is { } geoLocation)
            settings[GeoLocationSetting] = geoLocation;

        return PartitionManifest.CreateNew(topic.Name, partition.Number, settings);
    }

    /// <summary>
    /// The topics that the directories tell of. A directory without a readable manifest, or with that of another (a copy that
    /// somebody made), is left as it is.
    /// </summary>
    public IReadOnlyList<TopicInfo> ReadTopics(int leaderSpu)
    {
        if (!Directory.Exists(Root))
            return [];

        return [.. Directory.EnumerateDirectories(Root, "*", new EnumerationOptions { RecurseSubdirectories = true, MaxRecursionDepth = 1 })
            .Select(TryReadManifest)
            .OfType<PartitionManifest>()
            .GroupBy(manifest => manifest.Topic)
            .Select(manifests => ToTopic(manifests.Key, [.. manifests.OrderBy(manifest => manifest.Partition)], leaderSpu))];
    }

    private static TopicInfo ToTopic(string name, PartitionManifest[] manifests, int leaderSpu)
    {
        IReadOnlyDictionary<string, string> settings = manifests[0].Settings;
        ImmutableArray<PartitionInfo> partitions = [.. manifests.Select(manifest => new PartitionInfo(
            manifest.Partition, leaderSpu, manifest.Settings.GetValueOrDefault(GeoLocationSetting)))];
        var compression = Enum.TryParse(settings.GetValueOrDefault(CompressionSetting), out CompressionCodec codec)
            ? codec
            : CompressionCodec.None;
        return new TopicInfo(name, new TopicSettings(settings.GetValueOrDefault(MirrorSetting) == "true", compression), partitions);
    }

    private PartitionManifest? TryReadManifest(string directory)
    {
        try
        {
            PartitionManifest? manifest = PartitionManifest.TryRead(DiskFiles.Instance, directory);
            return manifest is not null && directory == PathOf(new PartitionId(manifest.Topic, manifest.Partition)) ? manifest : null;
        }
        catch (EdgeStreamException)
        {
            // Of a newer version, which the partition itself says when it is opened, or without a name that could be.
            return null;
        }
    }
}
