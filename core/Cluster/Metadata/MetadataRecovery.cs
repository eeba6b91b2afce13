using EdgeStream.Cluster.Topology;
using EdgeStream.Storage.Files;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Cluster.Metadata;

/// <summary>Opens the metadata so that the node always starts: a broken file is set aside and rebuilt, never deleted.</summary>
public static class MetadataRecovery
{
    private const int MinFileSize = 8192;

    /// <param name="dataDirectory">The data directory.</param>
    /// <param name="leaderSpu">The SPU that leads what is found.</param>
    /// <param name="logger">Told what was done.</param>
    /// <returns>The store, and what a person should know, or null.</returns>
    public static async Task<(LiteDbMetadataStore Store, string? Problem)> OpenAsync(string dataDirectory, int leaderSpu, ILogger logger)
    {
        string path = Path.Combine(dataDirectory, LiteDbMetadataStore.FileName);
        if (new FileInfo(path) is not { Exists: true, Length: > 0 })
        {
            // The file is made in one step or not at all: half of the topics would make orphans of the others.
            await RebuildAsync(path, dataDirectory, leaderSpu).ConfigureAwait(false);
            return (new LiteDbMetadataStore(path), null);
        }

        try
        {
            // LiteDB takes what is shorter than a page of it for a new file.
            if (new FileInfo(path).Length < MinFileSize)
                throw new InvalidDataException("the file is too short");

            var store = new LiteDbMetadataStore(path);
            try
            {
                // Reads everything, so that damage shows now and not in the middle of the night.
                store.LoadGeoLocations();
                store.LoadTopics();
                store.LoadRevokedNames();
                await store.LoadGroupPositionsAsync().ConfigureAwait(false);
                return (store, null);
            }
            catch
            {
                store.Dispose();
                throw;
            }
        }
        catch (Exception damage) when (IsDamage(damage))
        {
            string aside = SetAside(path);
            string problem = $"the metadata file was damaged; it was kept as '{aside}' and the topics were rebuilt from their directories";
            logger.LogWarning(damage, "{Problem}", problem);
            await RebuildAsync(path, dataDirectory, leaderSpu).ConfigureAwait(false);
            return (new LiteDbMetadataStore(path), problem);
        }
    }

    private static async Task RebuildAsync(string path, string dataDirectory, int leaderSpu)
    {
        string made = Path.ChangeExtension(path, ".new.db");
        File.Delete(made);
        File.Delete(JournalOf(made));
        if (File.Exists(JournalOf(path)))
            File.Move(JournalOf(path), JournalOf(path) + ".broken", overwrite: true);

        using (var store = new LiteDbMetadataStore(made))
        {
            foreach (TopicInfo topic in new PartitionDirectories(dataDirectory).ReadTopics(leaderSpu))
            {
                await store.SaveTopicAsync(topic).ConfigureAwait(false);
                foreach (string geoLocation in topic.Partitions.Select(partition => partition.GeoLocation).OfType<string>())
                    await store.SaveGeoLocationAsync(GeoLocationInfo.Lost(geoLocation)).ConfigureAwait(false);
            }
        }

        // Closing has moved all from LiteDB's journal into the file.
        DiskFiles.Instance.Rename(made, path);
        DiskFiles.Instance.SyncDirectory(dataDirectory);
    }

    private static string SetAside(string path)
    {
        int number = 1;
        while (File.Exists($"{path}.broken-{number}"))
            number++;

        string aside = $"{path}.broken-{number}";
        File.Move(path, aside);

        // LiteDB's own journal belongs to the broken file.
        if (File.Exists(JournalOf(path)))
            File.Move(JournalOf(path), aside + "-log");

        return aside;
    }

    /// <summary>A file that cannot be opened for want of rights or room may well be whole.</summary>
    private static bool IsDamage(Exception error) =>
        error is not UnauthorizedAccessException && !(error is IOException disk && DiskErrors.IsFull(disk));

    private static string JournalOf(string path) => Path.ChangeExtension(path, null) + "-log.db";
}
