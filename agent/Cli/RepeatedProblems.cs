namespace EdgeStream.Agent.Cli;

/// <summary>
/// Tells people what is tried again, a line each; not the same line with each try. Where it lasts, it says once where to look. Safe from any
/// thread.
/// </summary>
/// <param name="output">Where to.</param>
/// <param name="time">The clock.</param>
internal sealed class RepeatedProblems(TextWriter output, TimeProvider time)
{
    private static readonly TimeSpan ToldAgainAfter = TimeSpan.FromSeconds(30);

    // What passes by itself has passed by then: another SPU has taken over, or a NATS server's streams have other leaders.
    private static readonly TimeSpan LastsFrom = TimeSpan.FromSeconds(10);

    // A problem that is not seen again for so long has passed: tries follow each other within less, also those that wait for somebody who does not answer.
    private static readonly TimeSpan PassedAfter = TimeSpan.FromSeconds(15);

    // What was told, and when. Several partitions may have a problem each, by turns.
    private readonly Dictionary<string, long> _told = new(StringComparer.Ordinal);

    // Since when each has been there without a pause, and when it was seen last.
    private readonly Dictionary<string, (long Since, long Last)> _seen = new(StringComparer.Ordinal);
    private bool _hasSaidWhereToLook;

    public void Tell(string problem)
    {
        lock (_told)
        {
            foreach (string old in _told.Where(told => time.GetElapsedTime(told.Value) >= ToldAgainAfter).Select(told => told.Key).ToList())
                _told.Remove(old);

            if (_told.TryAdd(problem, time.GetTimestamp()))
                output.WriteLine($"{problem}; trying again");

            if (!_hasSaidWhereToLook && NoteWhetherLasting(problem))
            {
                _hasSaidWhereToLook = true;
                output.WriteLine("this lasts; 'edgestream partition list' and 'edgestream status' say why, of a cluster at its active SC");
            }
        }
    }

    /// <summary>Takes note that a problem is there, and tells whether it has been for long.</summary>
    private bool NoteWhetherLasting(string problem)
    {
        foreach (string passed in _seen.Where(seen => time.GetElapsedTime(seen.Value.Last) >= PassedAfter).Select(seen => seen.Key).ToList())
            _seen.Remove(passed);

        long now = time.GetTimestamp();
        long since = _seen.TryGetValue(problem, out var seen) ? seen.Since : now;
        _seen[problem] = (since, now);
        return time.GetElapsedTime(since) >= LastsFrom;
    }
}
