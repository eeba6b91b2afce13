using System.Globalization;
using EdgeStream.Storage;

namespace EdgeStream.Cluster;

/// <summary>
/// The one directory that holds all state, and the lock on it: two processes that write one log would destroy it. The lock is
/// the kernel's (flock), so it is gone with the process however that ends.
/// </summary>
public sealed class DataDirectory : IDisposable
{
    private const string LockFileName = "lock";

    private readonly FileStream _lock;

    private DataDirectory(string path, FileStream lockFile)
    {
        Path = path;
        _lock = lockFile;
    }

    public string Path { get; }

    /// <summary>Makes the directory where it is missing, and locks it.</summary>
    /// <exception cref="EdgeStreamException">It cannot be written, or another process has it.</exception>
    public static DataDirectory Open(string path)
    {
        path = System.IO.Path.GetFullPath(path);
        string lockPath = System.IO.Path.Combine(path, LockFileName);
        try
        {
            Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
                | UnixFileMode.GroupRead | UnixFileMode.GroupExecute);
            var lockFile = new FileStream(lockPath, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            lockFile.SetLength(0);
            lockFile.Write(System.Text.Encoding.ASCII.GetBytes(Environment.ProcessId.ToString(CultureInfo.InvariantCulture) + "\n"));
            lockFile.Flush();
            return new DataDirectory(path, lockFile);
        }
        catch (UnauthorizedAccessException denied)
        {
            throw CannotWrite(path, denied);
        }
        catch (IOException error)
        {
            throw IsLocked(lockPath) ? InUse(path, lockPath) : CannotWrite(path, error);
        }
    }

    public void Dispose() => _lock.Dispose();

    private static bool IsLocked(string lockPath)
    {
        if (!File.Exists(lockPath))
            return false;

        try
        {
            // Reading takes a shared lock, which the owner's exclusive one refuses. It needs no right to write.
            using var probe = new FileStream(lockPath, FileMode.Open, FileAccess.Read, FileShare.Read);
            return false;
        }
        catch (IOException)
        {
            return true;
        }
    }

    private static EdgeStreamException InUse(string path, string lockPath) => new(
        $"the data directory '{path}' is in use by another process{OwnerOf(lockPath)}; stop that one or choose another directory with --data");

    private static string OwnerOf(string lockPath)
    {
        try
        {
            using var file = new FileStream(lockPath, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
            using var reader = new StreamReader(file);
            return reader.ReadLine() is { Length: > 0 } pid ? $" (process {pid})" : "";
        }
        catch (IOException)
        {
            return "";
        }
    }

    private static EdgeStreamException CannotWrite(string path, Exception error) => new(
        $"the data directory '{path}' cannot be written ({error.Message}); make it writable for this user or choose another with --data",
        error);
}
