namespace EdgeStream.Storage.Tests.Log.Crashes;

/// <summary>
/// What a log has let be known, and after how many operations of the disk: a crash after them must leave it true. Safe from any
/// thread.
/// </summary>
internal sealed class LogEvidence
{
    private readonly Lock _lock = new();
    private readonly List<(int Operations, long End)> _durable = [];
    private readonly List<(int Operations, long End)> _written = [];
    private readonly Dictionary<long, string> _values = [];
    private (int Operations, Guid Incarnation)? _identity;

    /// <summary>Everything below <paramref name="end"/> was called durable, or could be read.</summary>
    public void NoteDurable(long end, int operations)
    {
        Note(_durable, end, operations);
    }

    /// <summary>Everything below <paramref name="end"/> was called written.</summary>
    public void NoteWritten(long end, int operations)
    {
        Note(_written, end, operations);
    }

    public void NoteIdentity(Guid incarnation, int operations)
    {
        lock (_lock)
        {
            if (_identity is { } known && known.Incarnation != incarnation)
                throw new LogViolationException($"the log was {known.Incarnation} and is {incarnation} now");

            _identity ??= (operations, incarnation);
        }
    }

    /// <exception cref="LogViolationException">The offset is known to be durable with another value.</exception>
    public void NoteValue(long offset, string value)
    {
        lock (_lock)
        {
            bool known = _values.TryGetValue(offset, out string? before);
            if (known && before != value && offset < Highest(_durable, int.MaxValue))
                throw new LogViolationException($"offset {offset} was '{before}' and is '{value}' now");

            _values[offset] = value;
        }
    }

    /// <summary>What must be true after a crash that so many operations were before.</summary>
    public LogPromise At(int operations, bool processOnly)
    {
        lock (_lock)
        {
            long end = Highest(_durable, operations);
            if (processOnly)
                end = Math.Max(end, Highest(_written, operations));

            return new LogPromise(end, _values, _identity?.Operations <= operations ? _identity.Value.Incarnation : null);
        }
    }

    // Operations only grow, so a mark that is no higher says nothing new.
    private void Note(List<(int Operations, long End)> notes, long end, int operations)
    {
        lock (_lock)
        {
            if (notes.Count == 0 || notes[^1].End < end)
                notes.Add((operations, end));
        }
    }

    private static long Highest(List<(int Operations, long End)> notes, int operations)
    {
        long highest = 0;
        foreach ((int at, long end) in notes)
            highest = at <= operations ? Math.Max(highest, end) : highest;

        return highest;
    }
}

/// <summary>What must be true of a log when it is opened next.</summary>
/// <param name="End">Every offset below it is there, unless a gap accounts for it.</param>
/// <param name="Values">What they hold, as far as it is known; what is known beyond the end may have come later.</param>
/// <param name="Incarnation">Who the log is; null where nobody was told.</param>
internal sealed record LogPromise(long End, IReadOnlyDictionary<long, string> Values, Guid? Incarnation)
{
    /// <exception cref="LogViolationException">It is not true.</exception>
    public void Check(LogContents contents, Guid incarnation)
    {
        if (Incarnation is { } known && known != incarnation)
            throw new LogViolationException($"the log was {known} and is {incarnation} now");

        if (contents.Offsets.Durable < End)
            throw new LogViolationException($"records up to {End} were acknowledged or seen, but the log has {contents.Offsets}");

        for (long offset = 0; offset < End; offset++)
        {
            if (contents.IsForgotten(offset) || !Values.TryGetValue(offset, out string? value))
                continue;

            if (contents.Values.GetValueOrDefault(offset) is var now && now != value)
                throw new LogViolationException($"offset {offset} was '{value}' and is '{now ?? "lost"}' now");
        }
    }
}
