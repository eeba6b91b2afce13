namespace EdgeStream.Cluster.Engines.JetStream;

/// <summary>
/// Some of a stream's messages by sequence, with the offset that each begins with: where a binary search begins. Hints only; when it is
/// full every second one goes, so its memory is bounded. Safe from any thread.
/// </summary>
internal sealed class SequenceIndex
{
    private const int MaxEntries = 2048;

    private readonly Lock _lock = new();
    private readonly List<Entry> _entries = new(64);
    private long _spacing = 1;

    /// <param name="Sequence">Of a message.</param>
    /// <param name="BaseOffset">The offset that it begins with.</param>
    /// <param name="Latest">The largest timestamp up to it.</param>
    public readonly record struct Entry(long Sequence, long BaseOffset, long Latest);

    /// <summary>Notes a message, if none so near is known.</summary>
    public void Add(in Entry entry)
    {
        lock (_lock)
        {
            int at = FirstBehind(entry, static (known, wanted) => known.Sequence < wanted.Sequence);
            bool isNear = (at > 0 && entry.Sequence - _entries[at - 1].Sequence < _spacing)
                || (at < _entries.Count && _entries[at].Sequence - entry.Sequence < _spacing);
            if (isNear)
                return;

            _entries.Insert(at, entry);
            if (_entries.Count < MaxEntries)
                return;

            for (int i = 0; i < _entries.Count / 2; i++)
                _entries[i] = _entries[2 * i];

            _entries.RemoveRange(_entries.Count / 2, _entries.Count - (_entries.Count / 2));
            _spacing *= 2;
        }
    }

    /// <summary>Retention has taken what lies before a message.</summary>
    public void RemoveBelow(long sequence)
    {
        lock (_lock)
            _entries.RemoveRange(0, FirstBehind(new Entry(sequence, 0, 0), static (known, wanted) => known.Sequence < wanted.Sequence));
    }

    /// <summary>The known messages between which the last one lies for which <paramref name="isBefore"/> holds, which grows false once.</summary>
    public (Entry? Before, Entry? Behind) Around(Func<Entry, bool> isBefore)
    {
        lock (_lock)
        {
            int at = FirstBehind(isBefore, static (known, holds) => holds(known));
            return (at > 0 ? _entries[at - 1] : null, at < _entries.Count ? _entries[at] : null);
        }
    }

    private int FirstBehind<T>(T state, Func<Entry, T, bool> isBefore)
    {
        int low = 0, high = _entries.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (isBefore(_entries[middle], state))
                low = middle + 1;
            else
                high = middle;
        }

        return low;
    }
}
