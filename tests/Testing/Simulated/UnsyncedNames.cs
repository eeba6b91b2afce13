namespace EdgeStream.Testing.Simulated;

/// <summary>Which names are durable, and what may still become of them.</summary>
internal sealed class UnsyncedNames(IReadOnlyDictionary<string, int> durable, CrashModel model)
{
    private readonly Dictionary<string, int> _durable = new(durable);
    private readonly List<(int Index, IReadOnlyList<NameChange> Changes)> _pending = [];

    public void Add(int index, IReadOnlyList<NameChange> changes) => _pending.Add((index, changes));

    public void SyncDirectory(string directory, int covers)
    {
        if (model == CrashModel.Journaled)
            Commit(index => index < covers);
        else
            CommitDirectories([directory], covers);
    }

    /// <summary>A file was synced. In a journal that has its name, everything before that goes with it.</summary>
    public void SyncFile(int inode, int covers)
    {
        if (model != CrashModel.Journaled)
            return;

        int last = _pending.FindLastIndex(change => change.Index < covers && change.Changes.Any(name => name.After == inode));
        if (last >= 0)
        {
            int until = _pending[last].Index;
            Commit(index => index <= until);
        }
    }

    /// <summary>All names, as a crash of the process leaves them.</summary>
    public Dictionary<string, int> Live() => Apply(_pending.Select(change => change.Changes));

    /// <summary>Names as a power cut may leave them.</summary>
    public Dictionary<string, int> Survivors(Random random)
    {
        // All and nothing are rare where each is a toss, and are where mistakes show.
        int kept = random.Next(4) switch { 0 => 0, 1 => _pending.Count, _ => random.Next(_pending.Count + 1) };
        bool ordered = model == CrashModel.Journaled || kept == 0 || kept == _pending.Count || random.Next(3) == 0;
        IEnumerable<IReadOnlyList<NameChange>> changes = _pending.Select(change => change.Changes);
        return Apply(ordered ? changes.Take(kept) : [.. changes.Where(_ => random.Next(2) == 0)]);
    }

    // A rename from one directory to another happens in both or not at all, so it takes with it what was before it in either.
    private void CommitDirectories(HashSet<string> directories, int covers)
    {
        var committed = new HashSet<int>();
        for (int i = _pending.Count - 1; i >= 0; i--)
        {
            (int index, IReadOnlyList<NameChange> changes) = _pending[i];
            if (index >= covers || !changes.Any(change => directories.Contains(Path.GetDirectoryName(change.Path)!)))
                continue;

            directories.UnionWith(changes.Select(change => Path.GetDirectoryName(change.Path)!));
            committed.Add(index);
        }

        Commit(committed.Contains);
    }

    private void Commit(Func<int, bool> committed)
    {
        foreach ((int index, IReadOnlyList<NameChange> changes) in _pending)
        {
            if (committed(index))
                TryApply(_durable, changes);
        }

        _pending.RemoveAll(change => committed(change.Index));
    }

    private Dictionary<string, int> Apply(IEnumerable<IReadOnlyList<NameChange>> kept)
    {
        var names = new Dictionary<string, int>(_durable);
        foreach (IReadOnlyList<NameChange> changes in kept)
            TryApply(names, changes);

        return names;
    }

    private static void TryApply(Dictionary<string, int> names, IReadOnlyList<NameChange> changes)
    {
        // A change whose ground was lost is lost as well: no directory names one file twice, or overwrites what it does not know.
        if (changes.Any(change => names.GetValueOrDefault(change.Path) != change.Before))
            return;

        foreach (NameChange change in changes)
        {
            if (change.After == 0)
                names.Remove(change.Path);
            else
                names[change.Path] = change.After;
        }
    }
}
