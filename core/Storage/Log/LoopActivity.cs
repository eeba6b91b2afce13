namespace EdgeStream.Storage.Log;

/// <summary>
/// Since when a loop has been at one piece of work, so that somebody else can tell a loop that is stuck from one that waits for
/// work. The loop writes, anybody reads.
/// </summary>
internal sealed class LoopActivity
{
    private const long Idle = -1;

    // Milliseconds of the system's uptime, as Environment.TickCount64.
    private long _since = Idle;

    /// <summary>Zero while there is no work.</summary>
    public TimeSpan Elapsed
    {
        get
        {
            long since = Volatile.Read(ref _since);
            return since == Idle ? TimeSpan.Zero : TimeSpan.FromMilliseconds(Environment.TickCount64 - since);
        }
    }

    public void Begin() => Volatile.Write(ref _since, Environment.TickCount64);

    public void End() => Volatile.Write(ref _since, Idle);
}
