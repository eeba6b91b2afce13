using EdgeStream.Storage.Files;

namespace EdgeStream.Testing;

/// <summary>
/// The real file system with a hand in it: each step can be watched, held up or made to fail. Hooks
/// are called with the file's name and may block or throw. Syncs are counted and not made: no power is cut here.
/// </summary>
public sealed class FaultyFiles : IStorageFiles
{
    private readonly DiskFiles _disk = DiskFiles.Instance;

    // Held for each step, so that a copy is what a crash between two steps leaves. Hooks run outside of it.
    private readonly Lock _step = new();
    private int _syncs;

    public Action<string>? BeforeCreate { get; set; }

    /// <summary>Where it throws, half of the bytes have been written.</summary>
    public Action<string>? BeforeWrite { get; set; }

    public Action<string>? BeforeSync { get; set; }

    public Action<string>? BeforeSyncDirectory { get; set; }

    /// <summary>How many syncs of files were begun.</summary>
    public int Syncs => Volatile.Read(ref _syncs);

    public static IOException DiskFull() => new("No space left on device", 28);

    public static IOException DiskBroken() => new("Input/output error", 5);

    /// <summary>Copies a directory as it is at this instant: what a crash of the process leaves behind.</summary>
    public string CopyAfterCrash(string directory, string copy)
    {
        lock (_step)
        {
            Directory.CreateDirectory(copy);
            foreach (string path in Directory.EnumerateFiles(directory))
            {
                try
                {
                    File.Copy(path, Path.Combine(copy, Path.GetFileName(path)));
                }
                catch (FileNotFoundException)
                {
                    // Removed since it was listed: at this instant it is not there.
                }
            }
        }

        return copy;
    }

    public void CreateDirectory(string path) => _disk.CreateDirectory(path);

    public bool DirectoryExists(string path) => _disk.DirectoryExists(path);

    public bool FileExists(string path) => _disk.FileExists(path);

    public IReadOnlyList<StoredFile> ListFiles(string directory) => _disk.ListFiles(directory);

    public ILogFile Create(string path)
    {
        BeforeCreate?.Invoke(Path.GetFileName(path));
        lock (_step)
            return new FaultyFile(this, _disk.Create(path), path);
    }

    public ILogFile OpenForWriting(string path) => new FaultyFile(this, _disk.OpenForWriting(path), path);

    public ILogFile OpenForReading(string path) => _disk.OpenForReading(path);

    public void Rename(string from, string to)
    {
        lock (_step)
            _disk.Rename(from, to);
    }

    public void Delete(string path)
    {
        lock (_step)
            _disk.Delete(path);
    }

    public void DeleteDirectory(string path) => _disk.DeleteDirectory(path);

    public void SyncDirectory(string path) => BeforeSyncDirectory?.Invoke(Path.GetFileName(path));

    private sealed class FaultyFile(FaultyFiles owner, ILogFile file, string path) : ILogFile
    {
        private readonly string _name = Path.GetFileName(path);

        public long Length => file.Length;

        public int Read(Span<byte> buffer, long position) => file.Read(buffer, position);

        public void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position)
        {
            try
            {
                owner.BeforeWrite?.Invoke(_name);
            }
            catch
            {
                byte[] all = [.. buffers.SelectMany(buffer => buffer.ToArray())];
                file.Write([all.AsMemory(0, all.Length / 2)], position);
                throw;
            }

            lock (owner._step)
                file.Write(buffers, position);
        }

        public void SyncData()
        {
            Interlocked.Increment(ref owner._syncs);
            owner.BeforeSync?.Invoke(_name);
        }

        public void Truncate(long length)
        {
            lock (owner._step)
                file.Truncate(length);
        }

        public void Allocate(long length)
        {
            lock (owner._step)
                file.Allocate(length);
        }

        public void Dispose() => file.Dispose();
    }
}
