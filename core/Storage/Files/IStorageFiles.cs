namespace EdgeStream.Storage.Files;

/// <summary>A file as its directory lists it.</summary>
/// <param name="Name">Its name, without the path.</param>
/// <param name="Length">Its length in bytes.</param>
public readonly record struct StoredFile(string Name, long Length);

/// <summary>
/// The one door between the storage engine and a file system. Every write, sync, rename, truncate and unlink of the engine
/// goes through it, so that a test can record, reorder, drop and fail each of them.
/// </summary>
public interface IStorageFiles
{
    /// <summary>Creates a directory and its missing parents. Durable once the parent was synced.</summary>
    void CreateDirectory(string path);

    bool DirectoryExists(string path);

    bool FileExists(string path);

    /// <summary>The plain files in a directory, in no order.</summary>
    IReadOnlyList<StoredFile> ListFiles(string directory);

    /// <exception cref="IOException">The file exists already, or cannot be made.</exception>
    ILogFile Create(string path);

    ILogFile OpenForWriting(string path);

    ILogFile OpenForReading(string path);

    /// <summary>Renames, replacing what is there. Durable once the directory was synced.</summary>
    void Rename(string from, string to);

    /// <summary>Removes a file; durable once the directory was synced. No error where there is none.</summary>
    void Delete(string path);

    /// <summary>Removes a directory with all that is in it. No error where there is none.</summary>
    void DeleteDirectory(string path);

    /// <summary>Makes the names in a directory durable: files created, renamed and removed.</summary>
    void SyncDirectory(string path);
}
