using EdgeStream.Storage;

namespace EdgeStream.Cluster.Engines;

/// <summary>
/// Which engine a data directory's partitions are kept by: file <c>engine</c>, one word. Started with another one, every topic would come up
/// empty, and give its offsets a second time.
/// </summary>
internal static class EngineMark
{
    public const string Segments = "log";
    public const string JetStream = "jetstream";

    private const string FileName = "engine";

    /// <exception cref="EdgeStreamException">The directory is another engine's.</exception>
    public static void Claim(string dataDirectory, string engine)
    {
        string path = Path.Combine(dataDirectory, FileName);
        string topics = Path.Combine(dataDirectory, "topics");
        string known = File.Exists(path) ? File.ReadAllText(path).Trim()
            : Directory.Exists(topics) && Directory.EnumerateFileSystemEntries(topics).Any() ? Segments
            : engine;
        if (known != engine)
        {
            throw new EdgeStreamException(
                $"the topics of '{dataDirectory}' are kept by storage.engine \"{known}\", and records do not move to \"{engine}\" by themselves; "
                + "set storage.engine back, or choose another directory with --data");
        }

        // A directory of segments tells it by itself.
        if (engine != Segments)
            File.WriteAllText(path, engine + "\n");
    }
}
