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
    private readonly ErrorCode _code;
    private volatile EdgeProgress _edge = EdgeProgress.Unknown;
    private volatile string? _mirrorProblem;
    private volatile string? _settingsProblem;

    public Partition(PartitionId id, PartitionInfo info, IPartitionLog log)
        : this(id, info) => _log = log;

    /// <param name="id">Which.</param>
    /// <param name="info">What the topology knows of it.</param>
    /// <param name="problem">Why it is not open, in one line.</param>
    /// <param name="code">What programs that ask for its log are told.</param>
    /// <param name="laterEpoch">The leader epoch that keeps it from being opened; null where something else does.</param>
    public Partition(PartitionId id, PartitionInfo info, string problem, ErrorCode code = ErrorCode.StorageFailed, long? laterEpoch = null)
        : this(id, info) => (_problem, _code, LaterEpoch) = (problem, code, laterEpoch);

    private Partition(PartitionId id, PartitionInfo info)
    {
        Id = id;
        Info = info;
    }

    public PartitionId Id { get; }

    public PartitionInfo Info { get; }

    /// <exception cref="ClusterException">The partition could not be opened.</exception>
    public IPartitionLog Log => _log ?? throw new ClusterException(_code, _problem!);

    /// <summary>The log as segment files of this machine, for what only an edge and local tools do.</summary>
    /// <exception cref="ClusterException">The partition could not be opened, or lies elsewhere.</exception>
    public PartitionLog Segments => Log as PartitionLog
        ?? throw new ClusterException(ErrorCode.WrongRole, $"{Id} is not kept in files of this machine; do this at an edge, or at a hub whose storage.engine is \"log\"");

    /// <summary>What is wrong, in one line; null while the partition is well.</summary>
    public string? Problem => _problem ?? _log?.Problem ?? _settingsProblem;

    /// <summary>Whether <see cref="Log"/> can be used.</summary>
    public bool IsOpen => _log is not null;

    /// <summary>The leader epoch of somebody who was told later to lead it; null where none was found.</summary>
    public long? LaterEpoch { get; }

    /// <summary>Why its log could not be told yet what the topology says now, in one line; null where it was. The SPU's own to set.</summary>
    public string? SettingsProblem
    {
        get => _settingsProblem;
        set => _settingsProblem = value;
    }

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
