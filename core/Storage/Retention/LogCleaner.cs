using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;

namespace EdgeStream.Storage.Retention;

/// <summary>
/// Keeps the logs of a node within their common budget, and drops what has become too old. Mirrored data goes first, then that
/// of topics that drop their oldest; of several logs the largest gives. Safe from any thread.
/// </summary>
public sealed class LogCleaner
{
    private readonly Lock _lock = new();
    private readonly List<PartitionLog> _logs = [];
    private readonly DiskBudget _budget;

    public LogCleaner(DiskBudget budget)
    {
        _budget = budget;
        budget.Reclaim = Reclaim;
    }

    public void Add(PartitionLog log)
    {
        lock (_lock)
            _logs.Add(log);
    }

    public void Remove(PartitionLog log)
    {
        lock (_lock)
            _logs.Remove(log);
    }

    /// <summary>Bytes of all logs' files.</summary>
    public long SizeOfLogs() => Logs().Sum(log => log.SizeInBytes());

    /// <summary>Drops what is older than its topic keeps, and brings the directory back within the budget where it is beyond.</summary>
    /// <param name="report">Told of a log that could not be cleaned.</param>
    public void Clean(Action<PartitionLog, Exception> report)
    {
        foreach (PartitionLog log in Logs())
        {
            try
            {
                log.ExpireByAge();
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException or EdgeStreamException)
            {
                report(log, error);
            }
        }

        while (_budget.Used > _budget.Limit && Reclaim(1))
        {
        }
    }

    /// <summary>Frees space by dropping one segment; false where none may go.</summary>
    private bool Reclaim(long bytes)
    {
        PartitionLog[] bySize = [.. Logs().OrderByDescending(log => log.SizeInBytes())];
        foreach (bool evenUnmirrored in (ReadOnlySpan<bool>)[false, true])
        {
            foreach (PartitionLog log in bySize)
            {
                if ((!evenUnmirrored || log.Settings.Overflow == OverflowPolicy.DropOldest) && TryDrop(log, evenUnmirrored))
                    return true;
            }
        }

        return false;
    }

    private static bool TryDrop(PartitionLog log, bool evenUnmirrored)
    {
        try
        {
            return log.TryDropOldest(GapReason.Overflow, evenUnmirrored) > 0;
        }
        catch (IOException)
        {
            // Another log asks for the space; it is not to fail for this one's trouble.
            return false;
        }
    }

    private PartitionLog[] Logs()
    {
        lock (_lock)
            return [.. _logs];
    }
}
