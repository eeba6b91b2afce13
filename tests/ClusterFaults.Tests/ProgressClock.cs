using System.Diagnostics;

namespace EdgeStream.ClusterFaults.Tests;

/// <summary>When something went on: records acknowledged in one partition, or mirrored from one edge. Safe from any thread.</summary>
internal sealed class ProgressClock(string name)
{
    private readonly Lock _lock = new();
    private readonly List<long> _at = [];

    public string Name => name;

    public void Tick()
    {
        lock (_lock)
            _at.Add(Stopwatch.GetTimestamp());
    }

    public long Count
    {
        get
        {
            lock (_lock)
                return _at.Count;
        }
    }

    /// <summary>
    /// The longest time without a tick, of those that lie for the most part in a span of time; by <see cref="Stopwatch"/>. So each counts
    /// once, and whole.
    /// </summary>
    public TimeSpan LongestSilence(long from, long to)
    {
        TimeSpan longest = TimeSpan.Zero;
        lock (_lock)
        {
            for (int i = 0; i < _at.Count; i++)
            {
                long before = i == 0 ? from : _at[i - 1], whole = _at[i] - before;
                if (Math.Min(to, _at[i]) - Math.Max(from, before) < whole / 2)
                    continue;

                TimeSpan silence = Stopwatch.GetElapsedTime(0, whole);
                longest = silence > longest ? silence : longest;
            }
        }

        return longest;
    }
}
