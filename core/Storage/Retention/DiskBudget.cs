namespace EdgeStream.Storage.Retention;

/// <summary>
/// How much disk a data directory may use, in bytes, shared by all that write to it. What is on the disk is always counted, even
/// beyond the limit; new space is only given within it. Safe from any thread.
/// </summary>
public sealed class DiskBudget(long limit)
{
    private long _used;
    private long _other;

    /// <summary>A budget without a bound, for tools and tests.</summary>
    public static DiskBudget Unlimited => new(long.MaxValue);

    public long Limit => limit;

    /// <summary>What the logs use, and <see cref="Other"/>.</summary>
    public long Used => Volatile.Read(ref _used) + Other;

    /// <summary>What else lies in the data directory, as was measured last.</summary>
    public long Other
    {
        get => Volatile.Read(ref _other);
        set => Volatile.Write(ref _other, value);
    }

    /// <summary>
    /// Asked to free at least so many bytes when they are wanted and not there; may block on the disk. False where it cannot.
    /// </summary>
    public Func<long, bool>? Reclaim { get; set; }

    /// <summary>Counts what is there already, or has to be.</summary>
    public void Add(long bytes) => Interlocked.Add(ref _used, bytes);

    /// <summary>Gives space back that was freed.</summary>
    public void Return(long bytes) => Interlocked.Add(ref _used, -bytes);

    /// <summary>Takes new space, after making room for it where that can be done.</summary>
    public bool TryTake(long bytes)
    {
        // Dropping all that there is would not make room for it.
        if (bytes > limit - Other)
            return false;

        while (true)
        {
            long used = Volatile.Read(ref _used);
            if (used <= limit - bytes - Other)
            {
                if (Interlocked.CompareExchange(ref _used, used + bytes, used) == used)
                    return true;
            }
            else if (Reclaim is not { } reclaim || !reclaim(bytes))
            {
                return false;
            }
        }
    }
}
