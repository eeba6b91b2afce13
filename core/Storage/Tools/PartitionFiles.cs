using EdgeStream.Storage.Files;
using EdgeStream.Storage.Segments;

namespace EdgeStream.Storage.Tools;

/// <summary>One segment of a partition as its directory lists it.</summary>
/// <param name="Path">Its log file.</param>
/// <param name="BaseOffset">The offset that it starts with.</param>
/// <param name="EndOffset">Where the next one starts; <see cref="long.MaxValue"/> where this is the last.</param>
/// <param name="Bytes">The length of the log file; that of the last segment is more than what it holds.</param>
public readonly record struct SegmentFile(string Path, long BaseOffset, long EndOffset, long Bytes)
{
    public bool IsLast => EndOffset == long.MaxValue;
}

/// <summary>Looks at a partition's directory without opening it as a log.</summary>
public static class PartitionFiles
{
    /// <summary>The segments, ascending.</summary>
    /// <exception cref="IOException">The directory cannot be read.</exception>
    public static IReadOnlyList<SegmentFile> Segments(IStorageFiles files, string directory)
    {
        var found = new List<SegmentFile>();
        foreach ((string name, long length) in files.ListFiles(directory))
        {
            if (SegmentFileName.TryParseLog(name, out long baseOffset))
                found.Add(new SegmentFile(Path.Combine(directory, name), baseOffset, long.MaxValue, length));
        }

        found.Sort((a, b) => a.BaseOffset.CompareTo(b.BaseOffset));
        for (int i = 0; i < found.Count - 1; i++)
            found[i] = found[i] with { EndOffset = found[i + 1].BaseOffset };

        return found;
    }
}
