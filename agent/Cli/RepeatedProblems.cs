namespace EdgeStream.Agent.Cli;

/// <summary>Tells people what is tried again, a line each; not the same line with each try. Safe from any thread.</summary>
/// <param name="output">Where to.</param>
/// <param name="time">The clock.</param>
internal sealed class RepeatedProblems(TextWriter output, TimeProvider time)
{
    private static readonly TimeSpan ToldAgainAfter = TimeSpan.FromSeconds(30);

    // What was told, and when. Several partitions may have a problem each, by turns.
    private readonly Dictionary<string, long> _told = new(StringComparer.Ordinal);

    public void Tell(string problem)
    {
        lock (_told)
        {
            foreach (string old in _told.Where(told => time.GetElapsedTime(told.Value) >= ToldAgainAfter).Select(told => told.Key).ToList())
                _told.Remove(old);

            if (_told.TryAdd(problem, time.GetTimestamp()))
                output.WriteLine($"{problem}; trying again");
        }
    }
}
