using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Retention;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Cluster.Engines;

/// <summary>Partitions as segment files under the data directory: the engine of every edge, and of a hub on one machine.</summary>
public sealed class SegmentEngine : IPartitionEngine
{
    // What a partition takes besides its first segment: ledger, manifest, checkpoint, indexes.
    private const int PartitionOverheadBytes = 64 * 1024;

    private const string DeletedPrefix = ".deleted-";

    private readonly PartitionDirectories _directories;
    private readonly LogOptions _logOptions;
    private readonly ILogger _logger;
    private readonly IStorageFiles _files;
    private readonly LogResources _resources;
    private readonly LogCleaner _cleaner;
    private readonly bool _isHub;

    /// <param name="directories">Where the partitions live.</param>
    /// <param name="logOptions">Sizes of their logs.</param>
    /// <param name="logger">Told what recovery found.</param>
    /// <param name="files">The file system.</param>
    /// <param name="resources">Budget and clocks; the budget is this engine's to reclaim from.</param>
    /// <param name="isHub">Whether mirror topics end here.</param>
    public SegmentEngine(
        PartitionDirectories directories, LogOptions logOptions, ILogger logger, IStorageFiles? files = null, LogResources? resources = null,
        bool isHub = false)
    {
        _directories = directories;
        _logOptions = logOptions;
        _logger = logger;
        _files = files ?? DiskFiles.Instance;
        _resources = resources ?? new LogResources();
        _cleaner = new LogCleaner(_resources.Budget);
        _isHub = isHub;
    }

    public TimeSpan RetryAfter { get; } = TimeSpan.FromMinutes(1);

    public bool ReopensFailed => false;

    /// <summary>Each partition has its own.</summary>
    public string? Problem => null;

    private DiskBudget Budget => _resources.Budget;

    public ValueTask StartAsync(TopologyMap topology)
    {
        EngineMark.Claim(_directories.DataDirectory, EngineMark.Segments);
        Directory.CreateDirectory(_directories.Root);
        SetOrphansAside(topology);
        return ValueTask.CompletedTask;
    }

    public ValueTask<IPartitionLog> OpenAsync(PartitionId id, TopicInfo topic, PartitionInfo info)
    {
        string path = _directories.PathOf(id);
        Directory.CreateDirectory(_directories.PathOf(topic.Name));
        DiskFiles.Instance.SyncDirectory(_directories.Root);
        LogReplacement.Complete(path, _files);
        PartitionLog log = PartitionLog.Open(
            path, () => PartitionDirectories.NewManifest(topic, info), _logOptions, _files, topic.Settings.ToLogSettings(_isHub),
            topic.IsCopy(info, _isHub) ? _resources with { Clock = null } : _resources);
        _cleaner.Add(log);
        Report(id, log);
        return new ValueTask<IPartitionLog>(log);
    }

    public ValueTask CloseAsync(IPartitionLog log)
    {
        _cleaner.Remove((PartitionLog)log);
        return log.DisposeAsync();
    }

    public bool DeletesStored => false;

    public ValueTask DeleteStoredAsync(TopicInfo topic) => ValueTask.CompletedTask;

    /// <summary>
    /// Out of the way first, in one step: a topic of the same name must not find what could not be removed. What is left over
    /// then goes at the next start.
    /// </summary>
    public void Delete(string topic)
    {
        string path = _directories.PathOf(topic);
        if (!Directory.Exists(path))
            return;

        string condemned = Path.Combine(_directories.Root, $"{DeletedPrefix}{topic}-{Guid.NewGuid():N}");
        Directory.Move(path, condemned);
        DiskFiles.Instance.SyncDirectory(_directories.Root);
        TryDelete(condemned);
    }

    public async ValueTask ReplaceAsync(PartitionId id, TopicInfo topic, PartitionInfo info, long firstOffset, long carryFrom) =>
        await new LogReplacement(_directories.PathOf(id), _logOptions, _files, _resources, _cleaner)
            .RunAsync(PartitionDirectories.NewManifest(topic, info) with { FirstOffset = firstOffset }, topic.Settings.ToLogSettings(_isHub), carryFrom)
            .ConfigureAwait(false);

    public void CheckRoomFor(int partitions, int present)
    {
        long each = Math.Min(_logOptions.PreallocateBytes, _logOptions.SegmentBytes) + PartitionOverheadBytes;
        long room = (Budget.Limit - Budget.Other) / each;
        if (present + partitions > room)
        {
            throw new ClusterException(
                ErrorCode.StorageFull,
                $"the storage budget of {Budget.Limit} bytes has room for {room} partitions of at least {each} bytes, and there are "
                + $"{present} already; raise storage.budget or delete a topic");
        }
    }

    public int DefaultReplicas => 1;

    public ValueTask CheckReplicasAsync(int replicas) => replicas <= 1 ? ValueTask.CompletedTask : throw new ClusterException(
        ErrorCode.InvalidArgument,
        $"the segment log of one machine has 1 replica, not {replicas}; for more run a hub with storage.engine = \"jetstream\" on NATS servers");

    /// <summary>One it is, and no other was let through.</summary>
    public ValueTask<bool> HasReplicasAsync(PartitionId id, int replicas, CancellationToken cancellationToken) => new(true);

    /// <summary>Each topic as it likes.</summary>
    public void CheckSync(SyncPolicy sync)
    {
    }

    public ValueTask<StoredLog?> FindStoredAsync(PartitionId id) => new((StoredLog?)null);

    public ValueTask<string?> FindStreamLeaderAsync(PartitionId id, CancellationToken cancellationToken) => new((string?)null);

    /// <inheritdoc cref="HasReplicasAsync"/>
    public ValueTask ChangeReplicasAsync(IPartitionLog log, int replicas) => ValueTask.CompletedTask;

    /// <summary>Measures what else lies in the data directory, drops what is too old or too much.</summary>
    public void Clean()
    {
        long logs = _cleaner.SizeOfLogs();
        Budget.Other = Math.Max(0, DirectorySize.Of(_directories.DataDirectory) - logs) + DirectorySize.Headroom;
        _cleaner.Clean((log, error) => _logger.LogError("{Directory} cannot be cleaned: {Problem}", log.Directory, error.Message));
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private void TryDelete(string condemned)
    {
        try
        {
            DiskFiles.Instance.DeleteDirectory(condemned);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            _logger.LogWarning("'{Path}' of a deleted topic cannot be removed: {Problem}", condemned, error.Message);
        }
    }

    private void Report(PartitionId id, PartitionLog log)
    {
        if (log.Recovery.TornBytes > 0)
        {
            _logger.LogWarning(
                "{Partition}: passed over {Bytes} bytes of an interrupted write behind the last whole batch; it goes on at offset {End}",
                id, log.Recovery.TornBytes, log.Offsets.End);
        }

        if (log.Recovery.LostRecords > 0)
        {
            _logger.LogError(
                "{Partition}: {Records} records could not be found or read and were noted as gaps; what is left of damaged files is in '{Folder}'",
                id, log.Recovery.LostRecords, Path.Combine(log.Directory, "quarantine"));
        }

        if (log.Recovery.NewIncarnation)
        {
            _logger.LogWarning(
                "{Partition}: its {Manifest} could not be read and was set aside; the records are there, but a hub takes it for another log",
                id, PartitionManifest.FileName);
        }
    }

    /// <summary>
    /// A topic's directory that the topology does not know (a deletion that a power cut interrupted, or a copy that somebody put
    /// there) must not come back to life under a new topic of its name, nor be deleted unasked.
    /// </summary>
    private void SetOrphansAside(TopologyMap topology)
    {
        foreach (string path in Directory.GetDirectories(_directories.Root))
        {
            string name = Path.GetFileName(path);
            if (name.StartsWith(DeletedPrefix, StringComparison.Ordinal))
                TryDelete(path);

            if (name.StartsWith('.') || topology.Topics.ContainsKey(name))
                continue;

            string aside = Path.Combine(_directories.Root, $".orphan-{name}-{Guid.NewGuid():N}");
            Directory.Move(path, aside);
            _logger.LogWarning("'{Path}' belongs to no topic; it was set aside as '{Aside}'", path, aside);
        }
    }
}
