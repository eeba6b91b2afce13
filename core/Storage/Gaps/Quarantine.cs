using System.Buffers;
using System.Globalization;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Retention;

namespace EdgeStream.Storage.Gaps;

/// <summary>
/// The folder in a partition's directory that keeps the bytes of what was damaged, for whoever wants to look. It takes part in
/// the budget: where there is no room the bytes are not kept, but the gap is always noted. Its size is its log's to count.
/// </summary>
internal sealed class Quarantine
{
    public const string FolderName = "quarantine";

    private const int ChunkSize = 256 * 1024;

    private readonly IStorageFiles _files;
    private readonly string _directory;
    private readonly DiskBudget _budget;
    private long _size;

    public Quarantine(IStorageFiles files, string directory, DiskBudget budget)
    {
        _files = files;
        _directory = directory;
        _budget = budget;
        Folder = Path.Combine(directory, FolderName);
        _size = files.DirectoryExists(Folder) ? files.ListFiles(Folder).Sum(file => file.Length) : 0;
    }

    public string Folder { get; }

    public long SizeInBytes => Interlocked.Read(ref _size);

    /// <summary>
    /// Keeps a stretch of a segment file that would have held offsets from <paramref name="first"/> on; durable on return. False
    /// where there is no room for it.
    /// </summary>
    public bool TryKeep(ILogFile segment, long position, long endPosition, long first)
    {
        long length = endPosition - position;
        if (length <= 0 || _budget.Limit - _budget.Used < length)
            return false;

        string path = PathFor(first);
        byte[] buffer = ArrayPool<byte>.Shared.Rent((int)Math.Min(length, ChunkSize));
        try
        {
            Prepare();
            using ILogFile kept = _files.Create(path);
            for (long done = 0; done < length;)
            {
                int read = segment.Read(buffer.AsSpan(0, (int)Math.Min(buffer.Length, length - done)), position + done);
                if (read == 0)
                    break;

                kept.Write([buffer.AsMemory(0, read)], done);
                done += read;
            }

            kept.SyncData();
            _files.SyncDirectory(Folder);
            Interlocked.Add(ref _size, length);
            return true;
        }
        catch (IOException full) when (DiskErrors.IsFull(full))
        {
            _files.Delete(path);
            return false;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Moves a whole file of the partition here; the budget has counted it and goes on to.</summary>
    public void Move(string path, long first, long length)
    {
        Prepare();
        Interlocked.Add(ref _size, length);
        _files.Rename(path, PathFor(first));
        _files.SyncDirectory(Folder);
        _files.SyncDirectory(_directory);
    }

    private void Prepare()
    {
        if (_files.DirectoryExists(Folder))
            return;

        _files.CreateDirectory(Folder);
        _files.SyncDirectory(_directory);
    }

    private string PathFor(long first)
    {
        for (int number = 0; ; number++)
        {
            string name = string.Create(CultureInfo.InvariantCulture, $"{first:D20}-{number}.damaged");
            if (!_files.FileExists(Path.Combine(Folder, name)))
                return Path.Combine(Folder, name);
        }
    }
}
