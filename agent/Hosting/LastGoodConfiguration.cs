using System.Buffers.Binary;
using System.Formats.Tar;
using EdgeStream.Agent.Configuration;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Records;

namespace EdgeStream.Agent.Hosting;

/// <summary>
/// A copy of the configuration files that an edge last ran with, <c>DATA/last-good/configuration.tar</c>: what it starts with where the
/// files themselves cannot be used. One file, so that it is replaced as a whole; only its owner can read it, as it may hold passwords. Behind
/// the archive, where <c>tar</c> does not look, stands its CRC-32C, because a flipped bit could make another configuration of it.
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
            return SmallFile.TryRead(DiskFiles.Instance, Path.Combine(folder, FileName)) is { } packed && Unpack(folder, packed) is { Count: > 0 } files ? files : null;
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
    /// <param name="files">All of them; nothing is kept where they say nothing.</param>
    public void Keep(IReadOnlyList<ConfigurationFile> files)
    {
        if (files.All(file => file.IsBlank))
            return;

        byte[] packed = Pack(files);
        try
        {
            if (packed.Length > SmallFile.MaxSize)
                throw new IOException($"it is larger than {SmallFile.MaxSize} bytes");

            Directory.CreateDirectory(Folder, OwnerOnly | UnixFileMode.UserExecute);
            if (!(SmallFile.TryRead(DiskFiles.Instance, FilePath) is { } known && known.AsSpan().SequenceEqual(packed)))
            {
                DiskFiles.Instance.SyncDirectory(dataDirectory);
                SmallFile.Replace(DiskFiles.Instance, FilePath, packed);
            }

            File.SetUnixFileMode(FilePath, OwnerOnly);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            logger.LogWarning(
                "no copy of the configuration could be kept in '{Folder}': {Problem}; a start with a mistake in it would take the copy before", Folder, error.Message);
        }
    }

    /// <summary>
    /// Which of the files is empty and was not when the copy was made, as a power cut may leave one behind that was just edited; or why
    /// there are none. Null where there is nothing to wonder about.
    /// </summary>
    /// <param name="files">As they stand now, the main one first.</param>
    /// <param name="main">Where the main one should be.</param>
    /// <param name="copy">What <see cref="TryRead"/> gave.</param>
    public static ConfigurationException? FindEmptied(
        IReadOnlyList<ConfigurationFile> files, string main, IReadOnlyList<ConfigurationFile> copy)
    {
        if (files.Count == 0)
            return new ConfigurationException($"'{main}' is missing", main);

        HashSet<string> full = [.. copy.Where(file => !file.IsBlank).Select(file => NameOf(file, copy))];
        return files.FirstOrDefault(file => file.IsBlank && full.Contains(NameOf(file, files))) is { } emptied
            ? new ConfigurationException(
                $"{emptied.Path}: is empty, and was not when the node ran last; restore it, or write a comment into it if that is meant", emptied.Path)
            : null;
    }

    /// <summary>Drop-ins keep the name of their folder.</summary>
    private static string NameOf(ConfigurationFile file, IReadOnlyList<ConfigurationFile> files) => file == files[0]
        ? Path.GetFileName(file.Path)
        : Path.Join(Path.GetFileName(Path.GetDirectoryName(file.Path)), Path.GetFileName(file.Path));

    /// <summary>The same bytes for the same files, whenever it is.</summary>
    private static byte[] Pack(IReadOnlyList<ConfigurationFile> files)
    {
        using var packed = new MemoryStream();
        using (var tar = new TarWriter(packed, leaveOpen: true))
        {
            foreach (ConfigurationFile file in files)
            {
                tar.WriteEntry(new GnuTarEntry(TarEntryType.RegularFile, NameOf(file, files))
                {
                    DataStream = new MemoryStream(file.Contents),
                    ModificationTime = DateTimeOffset.UnixEpoch,
                    AccessTime = DateTimeOffset.UnixEpoch,
                    ChangeTime = DateTimeOffset.UnixEpoch,
                    Mode = OwnerOnly,
                });
            }
        }

        byte[] archive = packed.ToArray();
        byte[] checksum = new byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32BigEndian(checksum, Crc32C.Compute(archive));
        return [.. archive, .. checksum];
    }

    private static List<ConfigurationFile> Unpack(string folder, byte[] packed)
    {
        int length = packed.Length - sizeof(uint);
        if (length <= 0 || Crc32C.Compute(packed.AsSpan(0, length)) != BinaryPrimitives.ReadUInt32BigEndian(packed.AsSpan(length)))
            throw new InvalidDataException("the copy is damaged");

        List<ConfigurationFile> files = [];
        using var tar = new TarReader(new MemoryStream(packed, 0, length));
        while (tar.GetNextEntry() is { } entry)
        {
            using var contents = new MemoryStream();
            entry.DataStream?.CopyTo(contents);
            files.Add(new ConfigurationFile(Path.Join(folder, entry.Name), contents.ToArray()));
        }

        return files;
    }
}
