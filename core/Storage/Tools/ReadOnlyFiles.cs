using EdgeStream.Storage.Files;

namespace EdgeStream.Storage.Tools;

/// <summary>
/// A file system that nothing can change: what is written, renamed or deleted through it is so for nobody. For code that puts
/// things in order as it reads them, where only the reading is wanted.
/// </summary>
internal sealed class ReadOnlyFiles(IStorageFiles inner) : IStorageFiles
{
    public void CreateDirectory(string path)
    {
    }

    public bool DirectoryExists(string path) => inner.DirectoryExists(path);

    public bool FileExists(string path) => inner.FileExists(path);

    public IReadOnlyList<StoredFile> ListFiles(string directory) => inner.ListFiles(directory);

    public ILogFile Create(string path) => new ReadOnlyFile(null);

    public ILogFile OpenForWriting(string path) => new ReadOnlyFile(inner.OpenForReading(path));

    public ILogFile OpenForReading(string path) => inner.OpenForReading(path);

    public void Rename(string from, string to)
    {
    }

    public void Delete(string path)
    {
    }

    public void DeleteDirectory(string path)
    {
    }

    public void SyncDirectory(string path)
    {
    }

    private sealed class ReadOnlyFile(ILogFile? file) : ILogFile
    {
        public long Length => file?.Length ?? 0;

        public int Read(Span<byte> buffer, long position) => file?.Read(buffer, position) ?? 0;

        public void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position)
        {
        }

        public void SyncData()
        {
        }

        public void Truncate(long length)
        {
        }

        public void Allocate(long length)
        {
        }

        public void Dispose() => file?.Dispose();
    }
}
