using EdgeStream.Cluster.Topology;
using LiteDB;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Cluster.Metadata;

/// <summary>Opens the metadata so that the node always starts: a broken file is set aside and rebuilt, never deleted.</summary>
public static class MetadataRecovery
{
    /// <param name="dataDirectory">The data directory.</param>
    /// <param name="leaderSpu">The SPU that leads what is found.</param>
    /// <param name="problem">What a person should know, or null.</param>
    /// <param name="logger">Told what was done.</param>
    public static IMetadataStore Open(string dataDirectory, int leaderSpu, ILogger logger, out string? problem)
    {
        string path = Path.Combine(dataDirectory, LiteDbMetadataStore.FileName);
        bool existed = File.Exists(path);
        problem = null;
        try
        {
            var store = new LiteDbMetadataStore(path);
            try
            {
                // Reads everything, so that damage shows now and not in the middle of the night.
                store.LoadGeoLocations();
                if (store.LoadTopics().Count > 0 || existed)
                    return store;

                Rebuild(store, dataDirectory, leaderSpu);
                return store;
            }
            catch
            {
                store.Dispose();
                throw;
            }
        }
        catch (Exception damage) when (existed && damage is not UnauthorizedAccessException)
        {
            string aside = SetAside(path);
            problem = $"the metadata file was damaged; it was kept as '{aside}' and the topics were rebuilt from their directories";
            logger.LogWarning(damage, "{Problem}", problem);
            var store = new LiteDbMetadataStore(path);
            Rebuild(store, dataDirectory, leaderSpu);
            return store;
        }
    }

    private static void Rebuild(LiteDbMetadataStore store, string dataDirectory, int leaderSpu)
    {
        foreach (TopicInfo topic in new PartitionDirectories(dataDirectory).ReadTopics(leaderSpu))
        {
            store.SaveTopic(topic);
            foreach (string geoLocation in topic.Partitions.Select(partition => partition.GeoLocation).OfType<string>())
                store.SaveGeoLocation(new GeoLocationInfo(geoLocation, DateTimeOffset.UnixEpoch, Revoked: false));
        }
    }

    private static string SetAside(string path)
    {
        int number = 1;
        while (File.Exists($"{path}.broken-{number}"))
            number++;

        string aside = $"{path}.broken-{number}";
        File.Move(path, aside);

        // LiteDB's own journal belongs to the broken file.
        string journal = Path.ChangeExtension(path, null) + "-log.db";
        if (File.Exists(journal))
            File.Move(journal, aside + "-log");

        return aside;
    }
}
