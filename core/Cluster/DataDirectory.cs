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

    // Apart from the lock: .NET locks whatever it opens, and so could not read it.
    private const string OwnerFileName = "lock.pid";

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
            TryWriteOwner(path);
            return new DataDirectory(path, lockFile);
        }
        catch (UnauthorizedAccessException denied)
        {
            throw CannotWrite(path, denied);
        }
        catch (IOException error)
        {
            throw IsLocked(lockPath) ? InUse(path) : CannotWrite(path, error);
        }
    }

    public void Dispose() => _lock.Dispose();

    private static void TryWriteOwner(string path)
    {
        string ownerPath = System.IO.Path.Combine(path, OwnerFileName);
        try
        {
            File.Delete(ownerPath);
            File.WriteAllText(ownerPath, Environment.ProcessId.ToString(CultureInfo.InvariantCulture) + "\n");
        }
        catch (IOException)
        {
            // Only a hint for people: a full disk does not keep the node from starting.
        }
    }

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

    private static EdgeStreamException InUse(string path) => new(
        $"the data directory '{path}' is in use by another process{OwnerOf(path)}; stop that one or choose another directory with --data");

    private static string OwnerOf(string path)
    {
        try
        {
            string pid = File.ReadAllText(System.IO.Path.Combine(path, OwnerFileName)).Trim();
            return pid.Length > 0 ? $" (process {pid})" : "";
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }

    private static EdgeStreamException CannotWrite(string path, Exception error) => new(
        $"the data directory '{path}' cannot be written ({error.Message}); make it writable for this user or choose another with --data",
        error);
}
