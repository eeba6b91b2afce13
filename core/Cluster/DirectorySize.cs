namespace EdgeStream.Cluster;

/// <summary>How much lies in a directory, as the file system tells it.</summary>
internal static class DirectorySize
{
    /// <summary>
    /// Left free for what changes between two measurements: metadata and its journal, certificates, temporary files. In bytes.
    /// </summary>
    public const long Headroom = 2 * 1024 * 1024;

    /// <summary>The lengths of all files beneath, in bytes. Files that vanish meanwhile do not count.</summary>
    public static long Of(string directory)
    {
        long size = 0;
        var options = new EnumerationOptions { RecurseSubdirectories = true, IgnoreInaccessible = true, AttributesToSkip = FileAttributes.None };
        foreach (FileInfo file in new DirectoryInfo(directory).EnumerateFiles("*", options))
        {
            try
            {
                size += file.Length;
            }
            catch (FileNotFoundException)
            {
                // Removed since it was listed.
            }
        }

        return size;
    }
}
