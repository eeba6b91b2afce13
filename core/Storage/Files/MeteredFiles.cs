namespace EdgeStream.Storage.Files;

/// <summary>
/// A file system with a meter: how many bytes were handed to it and how often it had to sync, which is what wears a card. Safe
/// from any thread.
/// </summary>
public sealed class MeteredFiles(IStorageFiles inner) : IStorageFiles
{
    private long _writtenBytes;
    private long _syncs;

    /// <summary>Bytes written to files. The file system's own bookkeeping is not in it.</summary>
    public long WrittenBytes => Volatile.Read(ref _writtenBytes);

    /// <summary>Syncs of files and of directories.</summary>
    public long Syncs => Volatile.Read(ref _syncs);

    public void CreateDirectory(string path) => inner.CreateDirectory(path);

    public bool DirectoryExists(string path) => inner.DirectoryExists(path);

    public bool FileExists(string path) => inner.FileExists(path);

    public IReadOnlyList<StoredFile> ListFiles(string directory) => inner.ListFiles(directory);

    public ILogFile Create(string path) => new MeteredFile(this, inner.Create(path));

    public ILogFile OpenForWriting(string path) => new MeteredFile(this, inner.OpenForWriting(path));

    public ILogFile OpenForReading(string path) => inner.OpenForReading(path);

    public void Rename(string from, string to) => inner.Rename(from, to);

    public void Delete(string path) => inner.Delete(path);

    public void DeleteDirectory(string path) => inner.DeleteDirectory(path);

    public void SyncDirectory(string path)
    {
        Interlocked.Increment(ref _syncs);
        inner.SyncDirectory(path);
    }

    private sealed class MeteredFile(MeteredFiles owner, ILogFile file) : ILogFile
    {
        public long Length => file.Length;

        public int Read(Span<byte> buffer, long position) => file.Read(buffer, position);

        public void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position)
        {
            long bytes = 0;
            for (int i = 0; i < buffers.Count; i++)
                bytes += buffers[i].Length;

            Interlocked.Add(ref owner._writtenBytes, bytes);
            file.Write(buffers, position);
        }

        public void SyncData()
        {
            Interlocked.Increment(ref owner._syncs);
            file.SyncData();
        }

        public void Truncate(long length) => file.Truncate(length);

        public void Allocate(long length) => file.Allocate(length);

        public void Dispose() => file.Dispose();
    }
}
