namespace EdgeStream.Storage.Files;

/// <summary>Whole small files (manifests, checkpoints, keys) that are replaced at once or not at all.</summary>
public static class SmallFile
{
    /// <summary>The most that <see cref="TryRead"/> takes in where it is not told; anything larger is not a small file of ours.</summary>
    public const int MaxSize = 1024 * 1024;

    /// <summary>
    /// Replaces a file: new contents → synced → renamed over the old → directory synced. A power cut at any step leaves the
    /// old file or the new one, never a mixture.
    /// </summary>
    public static void Replace(IStorageFiles files, string path, ReadOnlyMemory<byte> contents)
    {
        string temporary = path + ".tmp";
        files.Delete(temporary);
        using (ILogFile file = files.Create(temporary))
        {
            file.Write([contents], 0);
            file.SyncData();
        }

        files.Rename(temporary, path);
        files.SyncDirectory(Path.GetDirectoryName(path)!);
    }

    /// <summary>Reads a whole file; null where there is none or it is larger than <paramref name="maxSize"/>.</summary>
    public static byte[]? TryRead(IStorageFiles files, string path, int maxSize = MaxSize)
    {
        if (!files.FileExists(path))
            return null;

        using ILogFile file = files.OpenForReading(path);
        if (file.Length > maxSize)
            return null;

        byte[] contents = new byte[file.Length];
        int filled = 0;
        while (filled < contents.Length)
        {
            int read = file.Read(contents.AsSpan(filled), filled);
            if (read == 0)
                return contents[..filled];

            filled += read;
        }

        return contents;
    }
}
