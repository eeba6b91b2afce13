namespace EdgeStream.Storage.Tests;

/// <summary>
/// Bytes that an action allocates: the least of some runs, because the first ones fill pools, and a collection at any time
/// empties them again.
/// </summary>
internal static class Allocated
{
    /// <summary>How often the action is run.</summary>
    public const int Rounds = 12;

    /// <summary>On this thread.</summary>
    public static long Least(Action action) => Least(action, GC.GetAllocatedBytesForCurrentThread);

    /// <summary>On all threads, the writer and the syncer of a log included.</summary>
    public static long LeastOfAll(Action action) => Least(action, () => GC.GetTotalAllocatedBytes(precise: true));

    private static long Least(Action action, Func<long> allocated)
    {
        long least = long.MaxValue;
        for (int i = 0; i < Rounds; i++)
        {
            long before = allocated();
            action();
            least = Math.Min(least, allocated() - before);
        }

        return least;
    }
}
