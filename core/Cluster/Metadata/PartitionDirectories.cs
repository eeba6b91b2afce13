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

    public string DataDirectory => dataDirectory;

    public string Root { get; } = Path.Combine(dataDirectory, "topics");

    public string PathOf(string topic) => Path.Combine(Root, Names.CheckTopic(topic));

    public string PathOf(PartitionId id) =>
        Path.Combine(PathOf(id.Topic), id.Partition.ToString(CultureInfo.InvariantCulture));

    public static PartitionManifest NewManifest(TopicInfo topic, PartitionInfo partition) =>
        PartitionManifest.CreateNew(topic.Name, partition.Number, SettingsOf(topic, partition));

    /// <summary>What a partition's manifest repeats of the metadata.</summary>
    public static IReadOnlyDictionary<string, string> SettingsOf(TopicInfo topic, PartitionInfo partition)
    {
        Dictionary<string, string> settings = StorageSettingsText.Write(topic.Settings);
        settings[MirrorSetting] = topic.Settings.Mirror ? "true" : "false";
        settings[CompressionSetting] = topic.Settings.Compression.ToString();
        if (partition.GeoLocation is { } geoLocation)
            settings[GeoLocationSetting] = geoLocation;

        return settings;
    }

    /// <summary>What has to change in a manifest for it to repeat the metadata again; what others keep in it stays.</summary>
    public static IReadOnlyDictionary<string, string?> ChangesTo(PartitionManifest manifest, TopicInfo topic, PartitionInfo partition)
    {
        IReadOnlyDictionary<string, string> wanted = SettingsOf(topic, partition);
        return StorageSettingsText.Names.Concat(wanted.Keys)
            .Distinct()
            .Where(name => manifest.Settings.GetValueOrDefault(name) != wanted.GetValueOrDefault(name))
            .ToDictionary(name => name, name => wanted.GetValueOrDefault(name));
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
        var known = new TopicSettings(settings.GetValueOrDefault(MirrorSetting) == "true", compression);
        return new TopicInfo(name, StorageSettingsText.Read(known, key => settings.GetValueOrDefault(key)), partitions);
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
