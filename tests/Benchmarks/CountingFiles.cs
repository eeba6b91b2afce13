using EdgeStream.Storage.Files;

namespace EdgeStream.Benchmarks;

/// <summary>The real file system, with a count of the data syncs: how many commits there were.</summary>
internal sealed class CountingFiles : IStorageFiles
{
    private readonly DiskFiles _disk = DiskFiles.Instance;
    private long _syncs;

    public long Syncs => Volatile.Read(ref _syncs);

    public void CreateDirectory(string path) => _disk.CreateDirectory(path);

    public bool DirectoryExists(string path) => _disk.DirectoryExists(path);

    public bool FileExists(string path) => _disk.FileExists(path);

    public IReadOnlyList<string> ListFiles(string directory) => _disk.ListFiles(directory);

    public ILogFile Create(string path) => new CountingFile(this, _disk.Create(path));

    public ILogFile OpenForWriting(string path) => new CountingFile(this, _disk.OpenForWriting(path));

    public ILogFile OpenForReading(string path) => _disk.OpenForReading(path);

    public void Rename(string from, string to) => _disk.Rename(from, to);

    public void Delete(string path) => _disk.Delete(path);

    public void DeleteDirectory(string path) => _disk.DeleteDirectory(path);

    public void SyncDirectory(string path) => _disk.SyncDirectory(path);

    private sealed class CountingFile(CountingFiles owner, ILogFile file) : ILogFile
    {
        public long Length => file.Length;

        public int Read(Span<byte> buffer, long position) => file.Read(buffer, position);

        public void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position) => file.Write(buffers, position);

        public void SyncData()
        {
            Interlocked.Increment(ref owner._syncs);
            file.SyncData();
        }

        public void Truncate(long length) => file.Truncate(length);

        public void Dispose() => file.Dispose();
    }
}
