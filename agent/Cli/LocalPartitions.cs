using System.CommandLine;
using System.Globalization;
using EdgeStream.Agent.Hosting;
using EdgeStream.Cluster.Metadata;

namespace EdgeStream.Agent.Cli;

/// <summary>A partition's directory.</summary>
internal readonly record struct LocalPartition(string Topic, int Number, string Directory)
{
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Topic}/{Number}");
}

/// <summary>Finds partitions in a data directory by looking at it, without a node.</summary>
internal static class LocalPartitions
{
    public static Option<string?> Data { get; } = new("--data")
    {
        Description = $"The node's data directory (default: $EDGESTREAM_DATA or {NodePaths.DefaultData})",
        HelpName = "dir",
    };

    /// <summary>The partitions of one topic, or of all, in order.</summary>
    /// <exception cref="CommandException">There is no such topic, or this is no data directory.</exception>
    public static IReadOnlyList<LocalPartition> Find(string data, string? topic)
    {
        if (!Directory.Exists(data))
            throw new CommandException($"there is no directory '{data}'; name the node's data directory with --data");

        var directories = new PartitionDirectories(Path.GetFullPath(data));
        if (!Directory.Exists(directories.Root))
            throw new CommandException($"'{data}' is not a data directory: there is no 'topics' in it; name the node's with --data");

        // What begins with a dot is being deleted, or was set aside.
        string[] topics = [.. SubdirectoriesOf(directories.Root).Where(name => !name.StartsWith('.')).Order(StringComparer.Ordinal)];
        if (topic is null)
            return [.. topics.SelectMany(name => PartitionsOf(directories.Root, name))];

        return topics.Contains(topic)
            ? PartitionsOf(directories.Root, topic)
            : throw new CommandException($"there is no topic '{topic}' in '{data}'; there is {(topics.Length > 0 ? string.Join(", ", topics) : "none")}");
    }

    private static LocalPartition[] PartitionsOf(string root, string topic) =>
        [.. SubdirectoriesOf(Path.Combine(root, topic))
            .Select(name => int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : -1)
            .Where(number => number >= 0)
            .Order()
            .Select(number => new LocalPartition(
                topic, number, Path.Combine(root, topic, number.ToString(CultureInfo.InvariantCulture))))];

    private static IEnumerable<string> SubdirectoriesOf(string path) =>
        Directory.GetDirectories(path).Select(directory => Path.GetFileName(directory));
}
