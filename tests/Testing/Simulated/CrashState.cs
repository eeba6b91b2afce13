namespace EdgeStream.Testing.Simulated;

/// <summary>
/// Walks through what was done to a disk, operation by operation, and tells at each step what a crash just there may leave. An
/// image is a disk of its own, whose contents are shared until it changes them, so that thousands of them are cheap.
/// </summary>
public sealed class CrashState
{
    private readonly DiskOperation[] _operations;
    private readonly Dictionary<int, UnsyncedContent> _contents;
    private readonly UnsyncedNames _names;
    private readonly Random _failedSyncs;

    /// <param name="disk">The disk; what is done to it from now on is not looked at.</param>
    /// <param name="model">What becomes of names.</param>
    /// <param name="seed">Decides what syncs that failed had written.</param>
    public CrashState(SimulatedDisk disk, CrashModel model, int seed)
    {
        _operations = disk.Operations();
        _contents = disk.BaseContents.ToDictionary(file => file.Key, file => new UnsyncedContent(file.Value));
        _names = new UnsyncedNames(disk.BaseNames, model);
        _failedSyncs = new Random(seed);
    }

    /// <summary>How many operations were before the crash.</summary>
    public int Prefix { get; private set; }

    /// <summary>The operations that were last before the crash.</summary>
    public IEnumerable<DiskOperation> Last(int count) => _operations.Take(Prefix).TakeLast(count);

    /// <summary>One operation more is before the crash; false where there is none.</summary>
    public bool Advance()
    {
        if (Prefix == _operations.Length)
            return false;

        int index = Prefix++;
        DiskOperation operation = _operations[index];
        switch (operation.Kind)
        {
            case OperationKind.Write or OperationKind.Truncate or OperationKind.Allocate:
                _contents[operation.Inode].Add(index, operation);
                break;
            case OperationKind.Sync:
                _contents[operation.Inode].Sync(operation.Covers);
                _names.SyncFile(operation.Inode, operation.Covers);
                break;
            case OperationKind.FailedSync:
                _contents[operation.Inode].FailSync(_failedSyncs);
                break;
            case OperationKind.SyncDirectory:
                _names.SyncDirectory(operation.Path, operation.Covers);
                break;
            default:
                if (operation.Kind == OperationKind.Create)
                    _contents.Add(operation.Inode, new UnsyncedContent(new FileContent()));

                _names.Add(index, operation.Names);
                break;
        }

        return true;
    }

    /// <summary>What a crash of the process leaves: everything that was done.</summary>
    public SimulatedDisk Killed() => Image(_names.Live(), content => content.Live());

    /// <summary>What a power cut may leave.</summary>
    public SimulatedDisk PowerCut(Random random) => Image(_names.Survivors(random), content => content.Survivor(random));

    private SimulatedDisk Image(Dictionary<string, int> names, Func<UnsyncedContent, FileContent> choose)
    {
        // A name whose directory is not there is not there either. Shorter paths first: a parent is decided before its children.
        foreach (string path in names.Keys.OrderBy(path => path.Length).ToArray())
        {
            if (path != SimulatedDisk.Root && !names.ContainsKey(Path.GetDirectoryName(path)!))
                names.Remove(path);
        }

        var contents = new Dictionary<int, FileContent>();
        foreach (int inode in names.Values)
        {
            if (_contents.TryGetValue(inode, out UnsyncedContent? content))
                contents[inode] = choose(content);
        }

        return new SimulatedDisk(names, contents);
    }
}
