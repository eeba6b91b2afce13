using EdgeStream.Storage.Files;

namespace EdgeStream.Testing.Simulated;

/// <summary>
/// A file system in memory that behaves as POSIX says and remembers every operation: names lead to inodes, an open file
/// outlives its name, and every read sees every write. What a power cut would leave of it tells <see cref="CrashState"/>. Safe
/// from any thread; each operation is one step. Partials: <c>.Files</c> is what open files ask for.
/// </summary>
public sealed partial class SimulatedDisk : IStorageFiles
{
    /// <summary>A directory that is always there.</summary>
    public const string Root = "/data";

    private const int RootInode = 1;

    private readonly Lock _step = new();
    private readonly Dictionary<string, int> _names;
    private readonly Dictionary<int, FileContent> _contents;
    private readonly List<DiskOperation> _operations = [];
    private int _lastInode;
    private int _openFiles;

    public SimulatedDisk()
        : this(new Dictionary<string, int> { [Root] = RootInode }, [])
    {
    }

    /// <summary>Takes over both; a name whose inode has no content is a directory.</summary>
    internal SimulatedDisk(Dictionary<string, int> names, Dictionary<int, FileContent> contents)
    {
        (_names, _contents) = (names, contents);
        BaseNames = new Dictionary<string, int>(names);
        BaseContents = contents.ToDictionary(file => file.Key, file => file.Value.Share());
        _lastInode = names.Values.Max();
    }

    /// <summary>Called before each operation, outside of all locks, on the thread that asks for it.</summary>
    public Action? BeforeOperation { get; set; }

    /// <summary>Which calls fail; none where it is null.</summary>
    public FaultPlan? Faults { get; set; }

    /// <summary>Which part of a failed write was written after all.</summary>
    public Random FaultRandom { get; set; } = new(1);

    /// <summary>How many operations are complete.</summary>
    public int OperationCount
    {
        get
        {
            lock (_step)
                return _operations.Count;
        }
    }

    /// <summary>How many files are open just now: 0 once everything that used the disk was closed.</summary>
    public int OpenFiles => Volatile.Read(ref _openFiles);

    /// <summary>What was there, durably, before the first operation.</summary>
    internal IReadOnlyDictionary<string, int> BaseNames { get; }

    /// <inheritdoc cref="BaseNames"/>
    internal IReadOnlyDictionary<int, FileContent> BaseContents { get; }

    /// <summary>All operations so far, in the order in which they took effect.</summary>
    public DiskOperation[] Operations()
    {
        lock (_step)
            return [.. _operations];
    }

    /// <summary>Each file's path and length, for messages.</summary>
    public IEnumerable<string> Describe()
    {
        lock (_step)
        {
            return
            [
                .. _names.Where(name => _contents.ContainsKey(name.Value)).OrderBy(name => name.Key, StringComparer.Ordinal)
                    .Select(name => $"{Path.GetFileName(name.Key)}#{name.Value} ({_contents[name.Value].Length})"),
            ];
        }
    }

    public void CreateDirectory(string path)
    {
        if (DirectoryExists(path))
            return;

        if (Path.GetDirectoryName(path) is { } parent)
            CreateDirectory(parent);

        Begin(OperationKind.CreateDirectory);
        lock (_step)
            Rename(OperationKind.CreateDirectory, path, new NameChange(path, 0, ++_lastInode));
    }

    public bool DirectoryExists(string path)
    {
        lock (_step)
            return _names.TryGetValue(path, out int inode) && !_contents.ContainsKey(inode);
    }

    public bool FileExists(string path)
    {
        lock (_step)
            return _names.TryGetValue(path, out int inode) && _contents.ContainsKey(inode);
    }

    public IReadOnlyList<StoredFile> ListFiles(string directory)
    {
        Begin(OperationKind.List);
        lock (_step)
        {
            RequireDirectory(directory);
            return
            [
                .. _names.Where(name => Path.GetDirectoryName(name.Key) == directory && _contents.ContainsKey(name.Value))
                    .Select(name => new StoredFile(Path.GetFileName(name.Key), _contents[name.Value].Length)),
            ];
        }
    }

    public ILogFile Create(string path)
    {
        Begin(OperationKind.Create);
        lock (_step)
        {
            RequireDirectory(Path.GetDirectoryName(path)!);
            if (_names.ContainsKey(path))
                throw new IOException($"the file '{path}' exists already", 17);

            int inode = ++_lastInode;
            _contents.Add(inode, new FileContent());
            Rename(OperationKind.Create, path, new NameChange(path, 0, inode));
            return Handle(path, inode, writable: true);
        }
    }

    public ILogFile OpenForWriting(string path) => Open(path, writable: true);

    public ILogFile OpenForReading(string path) => Open(path, writable: false);

    public void Rename(string from, string to)
    {
        Begin(OperationKind.Rename);
        lock (_step)
        {
            int inode = Find(from);
            RequireDirectory(Path.GetDirectoryName(to)!);
            if (from != to)
                Rename(OperationKind.Rename, to, new(from, inode, 0), new(to, _names.GetValueOrDefault(to), inode));
        }
    }

    public void Delete(string path)
    {
        Begin(OperationKind.Delete);
        lock (_step)
        {
            if (_names.TryGetValue(path, out int inode))
                Rename(OperationKind.Delete, path, new NameChange(path, inode, 0));
        }
    }

    public void DeleteDirectory(string path)
    {
        string[] names;
        lock (_step)
            names = [.. _names.Keys.Where(name => name == path || name.StartsWith(path + "/", StringComparison.Ordinal))];

        // What is deepest goes first: a directory is empty by the time it goes.
        foreach (string name in names.OrderByDescending(name => name.Length))
            Delete(name);
    }

    public void SyncDirectory(string path)
    {
        int covers = OperationCount;
        Begin(OperationKind.SyncDirectory);
        lock (_step)
        {
            RequireDirectory(path);
            _operations.Add(new DiskOperation(OperationKind.SyncDirectory, path, _names[path]) { Covers = covers });
        }
    }

    private void Begin(OperationKind kind)
    {
        BeforeOperation?.Invoke();
        if (Faults?.Next(kind) is { } error)
            throw error;
    }

    private int Find(string path)
    {
        RequireDirectory(Path.GetDirectoryName(path)!);
        return _names.TryGetValue(path, out int inode) && _contents.ContainsKey(inode)
            ? inode
            : throw new FileNotFoundException($"there is no file '{path}'", path);
    }

    private void RequireDirectory(string path)
    {
        if (!_names.TryGetValue(path, out int inode) || _contents.ContainsKey(inode))
            throw new DirectoryNotFoundException($"there is no directory '{path}'");
    }

    private void Rename(OperationKind kind, string path, params NameChange[] changes)
    {
        foreach (NameChange change in changes)
        {
            if (change.After == 0)
                _names.Remove(change.Path);
            else
                _names[change.Path] = change.After;
        }

        _operations.Add(new DiskOperation(kind, path, changes[^1].After) { Names = changes });
    }
}
