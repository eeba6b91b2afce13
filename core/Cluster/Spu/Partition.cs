using EdgeStream.Cluster.Topology;
using EdgeStream.Storage.Log;

namespace EdgeStream.Cluster.Spu;

/// <summary>
/// A partition on this SPU: its log, or why it has none. One that cannot be opened does not keep the others from working.
/// </summary>
public sealed class Partition : IAsyncDisposable
{
    private readonly PartitionLog? _log;
    private readonly string? _problem;
    private volatile EdgeProgress _edge = EdgeProgress.Unknown;
    private volatile string? _mirrorProblem;

    public Partition(PartitionId id, PartitionInfo info, PartitionLog log)
        : this(id, info) => _log = log;

    public Partition(PartitionId id, PartitionInfo info, string problem)
        : this(id, info) => _problem = problem;

    private Partition(PartitionId id, PartitionInfo info)
    {
        Id = id;
        Info = info;
    }

    public PartitionId Id { get; }

    public PartitionInfo Info { get; }

    /// <exception cref="ClusterException">The partition could not be opened.</exception>
    public PartitionLog Log => _log ?? throw new ClusterException(ErrorCode.StorageFailed, _problem!);

    /// <summary>What is wrong, in one line; null while the partition is well.</summary>
    public string? Problem => _problem ?? _log?.Failure?.Message ?? _log?.FullReason ?? (_log is null ? null : Damage(_log));

    /// <summary>Whether <see cref="Log"/> can be used.</summary>
    public bool IsOpen => _log is not null;

    /// <summary>At a hub: it is not the copy of a geo-location's log, but flows down to it.</summary>
    public bool IsDown => Info.GeoLocation is not null && _log is { Settings.IsMirrored: true };

    /// <summary>At a hub: how far the edge's log is, as it last told.</summary>
    public EdgeProgress Edge
    {
        get => _edge;
        set => _edge = value;
    }

    /// <summary>At a hub: why nothing more of the edge's log is taken, in one line; null where it is.</summary>
    public string? MirrorProblem
    {
        get => _mirrorProblem;
        set => _mirrorProblem = value;
    }

    /// <summary>Stays until the next start, so that somebody sees it; the gaps stay for good.</summary>
    private static string? Damage(PartitionLog log)
    {
        if (!log.DamageNoted && log.Recovery.LostRecords == 0)
            return null;

        return "records could not be read any more; 'edgestream gaps' lists which, and the disk should be looked at";
    }

    public ValueTask DisposeAsync() => _log?.DisposeAsync() ?? ValueTask.CompletedTask;
}
