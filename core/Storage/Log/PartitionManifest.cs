using System.Text.Json;
using System.Text.Json.Serialization;
using EdgeStream.Storage.Files;

namespace EdgeStream.Storage.Log;

/// <summary>
/// What one partition's directory says of itself (<c>partition.json</c>): enough to rebuild the cluster's metadata from the
/// directories alone.
/// </summary>
/// <param name="FormatVersion">Version of the directory's layout.</param>
/// <param name="Topic">The topic's name.</param>
/// <param name="Partition">The partition's number.</param>
/// <param name="Incarnation">
/// The identity of this physical log: made once with the directory, never copied. Two logs that hold the same offsets with
/// other data differ in it.
/// </param>
/// <param name="Settings">What the cluster wants kept with the data; not interpreted here.</param>
public sealed record PartitionManifest(
    int FormatVersion,
    string Topic,
    int Partition,
    Guid Incarnation,
    IReadOnlyDictionary<string, string> Settings)
{
    /// <summary>The first offset that this log ever gave: it goes on where another log of the partition ended.</summary>
    public long FirstOffset { get; init; }

    public const string FileName = "partition.json";
    public const int CurrentFormatVersion = 1;

    public static PartitionManifest CreateNew(string topic, int partition, IReadOnlyDictionary<string, string> settings) =>
        new(CurrentFormatVersion, topic, partition, Guid.NewGuid(), settings);

    /// <summary>The manifest of a directory; null where there is none or it cannot be read.</summary>
    /// <exception cref="EdgeStreamException">It was written by a newer version of this program.</exception>
    public static PartitionManifest? TryRead(IStorageFiles files, string directory)
    {
        string path = Path.Combine(directory, FileName);
        byte[]? contents = SmallFile.TryRead(files, path);
        if (contents is null)
            return null;

        PartitionManifest? manifest;
        try
        {
            manifest = JsonSerializer.Deserialize(contents, ManifestJson.Default.PartitionManifest);
        }
        catch (JsonException)
        {
            return null;
        }

        if (manifest is { FormatVersion: > CurrentFormatVersion })
        {
            throw new EdgeStreamException(
                $"'{path}' has format version {manifest.FormatVersion}, this program knows up to {CurrentFormatVersion}: "
                + "start the version of edgestream that wrote it, or a newer one");
        }

        return manifest is { Topic: not null, Settings: not null } && manifest.Incarnation != Guid.Empty ? manifest : null;
    }

    /// <summary>Replaces the directory's manifest; durable on return.</summary>
    public void Write(IStorageFiles files, string directory) =>
        SmallFile.Replace(
            files,
            Path.Combine(directory, FileName),
            JsonSerializer.SerializeToUtf8Bytes(this, ManifestJson.Default.PartitionManifest));
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(PartitionManifest))]
internal sealed partial class ManifestJson : JsonSerializerContext;
