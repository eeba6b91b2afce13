using EdgeStream.Cluster.Topology;
using EdgeStream.Storage.Log;

namespace EdgeStream.Cluster.Spu;

/// <summary>
/// A partition on this SPU: its log, or why it has none. One that cannot be opened does not keep the others from working.
/// </summary>
public sealed class Partition : IAsyncDisposable
{
    private readonly IPartitionLog? _log;
    private readonly string? _problem;
    private volatile EdgeProgress _edge = EdgeProgress.Unknown;
    private volatile string? _mirrorProblem;

    public Partition(PartitionId id, PartitionInfo info, IPartitionLog log)
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
    public IPartitionLog Log => _log ?? throw new ClusterException(ErrorCode.StorageFailed, _problem!);

    /// <summary>The log as segment files of this machine, for what only an edge and local tools do.</summary>
    /// <exception cref="ClusterException">The partition could not be opened, or lies elsewhere.</exception>
    public PartitionLog Segments => Log as PartitionLog
        ?? throw new ClusterException(ErrorCode.WrongRole, $"{Id} is not kept in files of this machine; do this at an edge, or at a hub whose storage.engine is \"log\"");

    /// <summary>What is wrong, in one line; null while the partition is well.</summary>
    public string? Problem => _problem ?? _log?.Problem;

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

    public ValueTask DisposeAsync() => _log?.DisposeAsync() ?? ValueTask.CompletedTask;
}
