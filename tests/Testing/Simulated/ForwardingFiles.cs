using EdgeStream.Storage.Files;

namespace EdgeStream.Testing.Simulated;

/// <summary>Passes everything on; what is derived from it does one thing in another way.</summary>
public abstract class ForwardingFiles(IStorageFiles inner) : IStorageFiles
{
    protected IStorageFiles Inner => inner;

    public void CreateDirectory(string path) => inner.CreateDirectory(path);

    public bool DirectoryExists(string path) => inner.DirectoryExists(path);

    public bool FileExists(string path) => inner.FileExists(path);

    public IReadOnlyList<StoredFile> ListFiles(string directory) => inner.ListFiles(directory);

    public ILogFile Create(string path) => new ForwardingFile(this, inner.Create(path));

    public ILogFile OpenForWriting(string path) => new ForwardingFile(this, inner.OpenForWriting(path));

    public ILogFile OpenForReading(string path) => inner.OpenForReading(path);

    public virtual void Rename(string from, string to) => inner.Rename(from, to);

    public void Delete(string path) => inner.Delete(path);

    public void DeleteDirectory(string path) => inner.DeleteDirectory(path);

    public virtual void SyncDirectory(string path) => inner.SyncDirectory(path);

    protected virtual void SyncData(ILogFile file) => file.SyncData();

    private sealed class ForwardingFile(ForwardingFiles owner, ILogFile file) : ILogFile
    {
        public long Length => file.Length;

        public int Read(Span<byte> buffer, long position) => file.Read(buffer, position);

        public void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position) => file.Write(buffers, position);

        public void SyncData() => owner.SyncData(file);

        public void Truncate(long length) => file.Truncate(length);

        public void Allocate(long length) => file.Allocate(length);

        public void Dispose() => file.Dispose();
    }
}
