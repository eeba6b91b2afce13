using System.Formats.Tar;
using System.IO.Compression;
using System.Text;

namespace EdgeStream.Agent.Diagnostics;

/// <summary>A .tar.gz of small text files, which only its owner can read. What cannot be gathered is an entry that says so.</summary>
internal sealed class SupportArchive : IDisposable
{
    // Of each entry the end is kept: a log that repeats itself must not fill the disk of a small device.
    private const int MaxEntryBytes = 4 * 1024 * 1024;

    private readonly string _folder;
    private readonly TarWriter _tar;

    private SupportArchive(string folder, TarWriter tar)
    {
        _folder = folder;
        _tar = tar;
    }

    /// <exception cref="IOException">The file is there already, or cannot be made.</exception>
    public static SupportArchive Create(string path)
    {
        var file = new FileStream(path, new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.Write,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        });
        string folder = Path.GetFileName(path).Split('.')[0];
        return new SupportArchive(folder, new TarWriter(new GZipStream(file, CompressionLevel.Optimal)));
    }

    /// <summary>Adds what a function gives as a text file; its error, where it has one.</summary>
    public async Task AddAsync(string name, Func<Task<string>> gather)
    {
        string text;
        try
        {
            text = await gather().ConfigureAwait(false);
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            text = $"not available: {error.Message}\n";
        }

        byte[] bytes = Encoding.UTF8.GetBytes(text);
        using var data = new MemoryStream(bytes.Length > MaxEntryBytes ? bytes[^MaxEntryBytes..] : bytes);
        await _tar
            .WriteEntryAsync(new PaxTarEntry(TarEntryType.RegularFile, $"{_folder}/{name}")
            {
                DataStream = data,
                ModificationTime = DateTimeOffset.UtcNow,
                Mode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
            })
            .ConfigureAwait(false);
    }

    public void Dispose() => _tar.Dispose();
}
