using System.Globalization;

namespace EdgeStream.Harness;

/// <summary>How often each thread of a process has waited for something and gone on, as the kernel counts it.</summary>
public sealed class ThreadWakeUps
{
    private const string Voluntary = "voluntary_ctxt_switches:";

    private readonly Dictionary<int, (string Name, long Count)> _threads;

    private ThreadWakeUps(Dictionary<int, (string Name, long Count)> threads) => _threads = threads;

    public static ThreadWakeUps Of(int process)
    {
        var threads = new Dictionary<int, (string Name, long Count)>();
        foreach (string directory in Directory.GetDirectories($"/proc/{process}/task"))
        {
            try
            {
                string name = File.ReadAllText($"{directory}/comm").Trim();
                string line = File.ReadLines($"{directory}/status").First(text => text.StartsWith(Voluntary, StringComparison.Ordinal));
                long count = long.Parse(line[Voluntary.Length..], NumberStyles.AllowLeadingWhite, CultureInfo.InvariantCulture);
                threads[int.Parse(Path.GetFileName(directory), CultureInfo.InvariantCulture)] = (name, count);
            }
            catch (IOException)
            {
                // Ended meanwhile.
            }
        }

        return new ThreadWakeUps(threads);
    }

    /// <summary>Since <paramref name="before"/>, those first that woke up most. What threads did that have ended is not known any more.</summary>
    public IReadOnlyList<(string Name, long Count)> Since(ThreadWakeUps before) =>
    [
        .. _threads
            .Select(thread => (thread.Value.Name, thread.Value.Count - before._threads.GetValueOrDefault(thread.Key).Count))
            .OrderByDescending(thread => thread.Item2),
    ];
}
