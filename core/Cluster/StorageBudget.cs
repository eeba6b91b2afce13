using System.Globalization;
using System.Text;
using EdgeStream.Storage;
using EdgeStream.Storage.Files;

namespace EdgeStream.Cluster;

/// <summary>
/// How much disk a data directory may use: what is configured, else four fifths of what was free when it was made. That is kept
/// in the file <c>budget</c>, so that the bound does not follow whatever the disk happens to have free.
/// </summary>
public static class StorageBudget
{
    /// <summary>The least that a node can work with, in bytes.</summary>
    public const long Minimum = 64 * 1024 * 1024;

    private const string FileName = "budget";
    private const int SegmentsPerBudget = 64;
    private const int MinSegmentBytes = 1024 * 1024;
    private const int MaxSegmentBytes = 8 * 1024 * 1024;

    /// <param name="dataDirectory">The data directory; exists.</param>
    /// <param name="configured">In bytes; null where nothing is.</param>
    /// <param name="files">The file system.</param>
    /// <exception cref="EdgeStreamException">What is configured is too small, or more than the disk can ever give.</exception>
    public static long Resolve(string dataDirectory, long? configured, IStorageFiles files)
    {
        if (configured is { } bytes)
        {
            CheckMinimum(bytes); // the command line's has not been checked
            long possible = PossibleBytes(dataDirectory);
            return bytes <= possible ? bytes : throw new EdgeStreamException(
                $"storage.budget is {bytes} bytes, but the disk of '{dataDirectory}' has only {possible} for it; lower it or free some space");
        }

        string path = Path.Combine(dataDirectory, FileName);
        if (SmallFile.TryRead(files, path) is { } contents
            && long.TryParse(Encoding.ASCII.GetString(contents).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out long known)
            && known >= Minimum)
        {
            return known;
        }

        long chosen = Math.Max(Minimum, PossibleBytes(dataDirectory) / 5 * 4);
        try
        {
            SmallFile.Replace(files, path, Encoding.ASCII.GetBytes(chosen.ToString(CultureInfo.InvariantCulture) + "\n"));
        }
        catch (IOException full) when (DiskErrors.IsFull(full))
        {
            // Chosen again at the next start.
        }

        return chosen;
    }

    /// <exception cref="EdgeStreamException">It is less than a node can work with.</exception>
    public static void CheckMinimum(long bytes)
    {
        if (bytes < Minimum)
            throw new EdgeStreamException($"storage.budget is {bytes} bytes; a node needs at least {Minimum} (64MiB)");
    }

    /// <summary>A segment size that gives a budget enough segments to drop a small part of it at a time.</summary>
    public static int SegmentBytes(long budget) => (int)Math.Clamp(budget / SegmentsPerBudget, MinSegmentBytes, MaxSegmentBytes);

    /// <summary>The most that a data directory, which exists, can grow to: what it has, and what is free.</summary>
    public static long PossibleBytes(string dataDirectory) => FreeBytes(dataDirectory) + DirectorySize.Of(dataDirectory);

    /// <summary>Bytes that this user can still write to the disk of a directory.</summary>
    public static long FreeBytes(string directory) => new DriveInfo(directory).AvailableFreeSpace;
}
