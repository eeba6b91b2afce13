using System.Formats.Tar;
using EdgeStream.Agent.Configuration;
using EdgeStream.Storage.Files;

namespace EdgeStream.Agent.Hosting;

/// <summary>
/// A copy of the configuration files that an edge last ran with, <c>DATA/last-good/configuration.tar</c>: what it starts with where the
/// files themselves cannot be used. One file, so that it is replaced as a whole; only its owner can read it, as it may hold passwords.
/// </summary>
internal sealed class LastGoodConfiguration(string dataDirectory, ILogger logger)
{
    private const string FolderName = "last-good";
    private const string FileName = "configuration.tar";
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private string Folder => Path.Combine(dataDirectory, FolderName);

    private string FilePath => Path.Combine(Folder, FileName);

    /// <summary>The copy in a data directory; null where there is none that can be read.</summary>
    public static IReadOnlyList<ConfigurationFile>? TryRead(string dataDirectory)
    {
        string folder = Path.Combine(dataDirectory, FolderName);
        try
        {
            return SmallFile.TryRead(DiskFiles.Instance, Path.Combine(folder, FileName)) is { } tar && Unpack(folder, tar) is { Count: > 0 } files ? files : null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidDataException or FormatException)
        {
            return null;
        }
    }

    /// <summary>
    /// Keeps the files that the node runs with, durably, where the copy is another. What cannot be kept costs nothing but the copy: the
    /// log is told, and the one before stays.
    /// </summary>
    /// <param name="files">All of them; nothing is kept where there are none.</param>
    public void Keep(IReadOnlyList<ConfigurationFile> files)
    {
        if (files.Count == 0)
            return;

        byte[] tar = Pack(files);
        try
        {
            if (tar.Length > SmallFile.MaxSize)
                throw new IOException($"it is larger than {SmallFile.MaxSize} bytes");

            Directory.CreateDirectory(Folder, OwnerOnly | UnixFileMode.UserExecute);
            if (!(SmallFile.TryRead(DiskFiles.Instance, FilePath) is { } known && known.AsSpan().SequenceEqual(tar)))
            {
                DiskFiles.Instance.SyncDirectory(dataDirectory);
                SmallFile.Replace(DiskFiles.Instance, FilePath, tar);
            }

            File.SetUnixFileMode(FilePath, OwnerOnly);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            logger.LogWarning(
                "no copy of the configuration could be kept in '{Folder}': {Problem}; a start with a mistake in it would take the copy before", Folder, error.Message);
        }
    }

    /// <summary>The same bytes for the same files, whenever it is.</summary>
    private static byte[] Pack(IReadOnlyList<ConfigurationFile> files)
    {
        using var packed = new MemoryStream();
        using (var tar = new TarWriter(packed, leaveOpen: true))
        {
            foreach (ConfigurationFile file in files)
            {
                // Drop-ins keep the name of their folder.
                string name = file == files[0] ? Path.GetFileName(file.Path) : Path.Join(Path.GetFileName(Path.GetDirectoryName(file.Path)), Path.GetFileName(file.Path));
                tar.WriteEntry(new GnuTarEntry(TarEntryType.RegularFile, name)
                {
                    DataStream = new MemoryStream(file.Contents),
                    ModificationTime = DateTimeOffset.UnixEpoch,
                    AccessTime = DateTimeOffset.UnixEpoch,
                    ChangeTime = DateTimeOffset.UnixEpoch,
                    Mode = OwnerOnly,
                });
            }
        }

        return packed.ToArray();
    }

    private static List<ConfigurationFile> Unpack(string folder, byte[] packed)
    {
        List<ConfigurationFile> files = [];
        using var tar = new TarReader(new MemoryStream(packed));
        while (tar.GetNextEntry() is { } entry)
        {
            using var contents = new MemoryStream();
            entry.DataStream?.CopyTo(contents);
            files.Add(new ConfigurationFile(Path.Join(folder, entry.Name), contents.ToArray()));
        }

        return files;
    }
}
