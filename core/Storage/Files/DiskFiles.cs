using Microsoft.Win32.SafeHandles;

namespace EdgeStream.Storage.Files;

/// <summary>The real file system.</summary>
public sealed class DiskFiles : IStorageFiles
{
    // Readers open what the writer has open. .NET takes a shared flock for it, which hinders nobody here.
    private const FileShare Shared = FileShare.ReadWrite | FileShare.Delete;

    public static DiskFiles Instance { get; } = new();

    public void CreateDirectory(string path) => Directory.CreateDirectory(path);

    public bool DirectoryExists(string path) => Directory.Exists(path);

    public bool FileExists(string path) => File.Exists(path);

    public IReadOnlyList<StoredFile> ListFiles(string directory)
    {
        var files = new List<StoredFile>();
        foreach (FileInfo file in new DirectoryInfo(directory).EnumerateFiles())
        {
            try
            {
                files.Add(new StoredFile(file.Name, file.Length));
            }
            catch (FileNotFoundException)
            {
                // Removed or renamed since it was listed: somebody looks on while a node works.
            }
        }

        return files;
    }

    public ILogFile Create(string path) => Open(path, FileMode.CreateNew, FileAccess.ReadWrite);

    public ILogFile OpenForWriting(string path) => Open(path, FileMode.Open, FileAccess.ReadWrite);

    public ILogFile OpenForReading(string path) => Open(path, FileMode.Open, FileAccess.Read);

    public void Rename(string from, string to) => File.Move(from, to, overwrite: true);

    public void Delete(string path) => File.Delete(path);

    public void DeleteDirectory(string path)
    {
        if (Directory.Exists(path))
            Directory.Delete(path, recursive: true);
    }

    public void SyncDirectory(string path) => LibC.SyncDirectory(path);

    private static DiskFile Open(string path, FileMode mode, FileAccess access) =>
        new(File.OpenHandle(path, mode, access, Shared), path);

    private sealed class DiskFile(SafeFileHandle handle, string path) : ILogFile
    {
        public long Length => RandomAccess.GetLength(handle);

        public int Read(Span<byte> buffer, long position) => RandomAccess.Read(handle, buffer, position);

        public void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position) =>
            RandomAccess.Write(handle, buffers, position);

        public void SyncData() => LibC.SyncData(handle, path);

        public void Truncate(long length) => RandomAccess.SetLength(handle, length);

        public void Allocate(long length) => LibC.Allocate(handle, path, length);

        public void Dispose() => handle.Dispose();
    }
}
