namespace EdgeStream.Testing.Simulated;

/// <summary>Which call of a simulated disk fails, and how. Safe from any thread.</summary>
/// <param name="failAt">The call, of those that it applies to, counted from 0.</param>
/// <param name="error">Makes the error.</param>
/// <param name="appliesTo">Which calls count, and can fail.</param>
/// <param name="untilHealed">All later calls fail as well, until <see cref="Heal"/>.</param>
public sealed class FaultPlan(int failAt, Func<IOException> error, Func<OperationKind, bool> appliesTo, bool untilHealed = false)
{
    private int _calls;
    private int _hits;
    private volatile bool _healed;

    /// <summary>How many calls there were that could have failed.</summary>
    public int Calls => Volatile.Read(ref _calls);

    /// <summary>How many have failed.</summary>
    public int Hits => Volatile.Read(ref _hits);

    /// <summary>What the first call that failed was.</summary>
    public OperationKind? FirstHit { get; private set; }

    /// <summary>Fails at every call that may need room, as a full disk does.</summary>
    public static bool NeedsRoom(OperationKind kind) =>
        kind is OperationKind.Create or OperationKind.Write or OperationKind.Allocate or OperationKind.Rename
            or OperationKind.CreateDirectory;

    /// <summary>Counts without failing.</summary>
    public static FaultPlan None(Func<OperationKind, bool> appliesTo) => new(int.MaxValue, () => new IOException(), appliesTo);

    /// <summary>From now on nothing fails.</summary>
    public void Heal() => _healed = true;

    /// <summary>Counts a call; the error that it is to fail with, or null.</summary>
    public IOException? Next(OperationKind kind)
    {
        if (!appliesTo(kind))
            return null;

        int call = Interlocked.Increment(ref _calls) - 1;
        if (_healed || (untilHealed ? call < failAt : call != failAt))
            return null;

        if (Interlocked.Increment(ref _hits) == 1)
            FirstHit = kind;

        return error();
    }
}
