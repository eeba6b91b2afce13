using System.Collections.Concurrent;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Retention;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Cluster.Spu;

/// <summary>
/// The streaming processing unit: owns the logs of the partitions that the topology gives to it. Lookups are safe from any
/// thread; the topology is applied by one caller at a time.
/// </summary>
public sealed class SpuNode : IAsyncDisposable
{
    // What a partition takes besides its first segment: ledger, manifest, checkpoint, indexes.
    private const int PartitionOverheadBytes = 64 * 1024;

    private const string DeletedPrefix = ".deleted-";

    private readonly ConcurrentDictionary<PartitionId, Partition> _partitions = new();
    private readonly SemaphoreSlim _applying = new(1);
    private readonly PartitionDirectories _directories;
    private readonly LogOptions _logOptions;
    private readonly ILogger<SpuNode> _logger;
    private readonly IStorageFiles? _files;
    private readonly LogResources _resources;
    private readonly LogCleaner _cleaner;
    private readonly bool _isHub;

    /// <param name="id">Its number in the cluster.</param>
    /// <param name="directories">Where the partitions live.</param>
    /// <param name="logOptions">Sizes of their logs.</param>
    /// <param name="logger">Told what recovery found.</param>
    /// <param name="files">The file system.</param>
    /// <param name="resources">Budget and clocks; the budget is this SPU's to reclaim from.</param>
    /// <param name="isHub">Whether mirror topics end here.</param>
    public SpuNode(
        int id, PartitionDirectories directories, LogOptions logOptions, ILogger<SpuNode> logger, IStorageFiles? files = null,
        LogResources? resources = null, bool isHub = false)
    {
        Id = id;
        _directories = directories;
        _logOptions = logOptions;
        _logger = logger;
        _files = files;
        _resources = resources ?? new LogResources();
        _cleaner = new LogCleaner(_resources.Budget);
        _isHub = isHub;
    }

    public int Id { get; }

    /// <summary>All partitions of this SPU, by topic and number.</summary>
    public IReadOnlyList<Partition> Partitions =>
        [.. _partitions.Values.OrderBy(partition => partition.Id.Topic, StringComparer.Ordinal).ThenBy(partition => partition.Id.Partition)];

    public Partition? Find(PartitionId partition) => _partitions.GetValueOrDefault(partition);

    /// <summary>Opens the partitions of the topology that was stored. Called once, before anything else.</summary>
    public Task StartAsync(TopologyMap topology)
    {
        Directory.CreateDirectory(_directories.Root);
        SetOrphansAside(topology);
        return ApplyAsync(topology);
    }

    /// <summary>The disk that the logs share.</summary>
    public DiskBudget Budget => _resources.Budget;

    /// <exception cref="ClusterException">The budget has no room for so many more partitions.</exception>
    public void CheckRoomFor(int partitions)
    {
        long each = Math.Min(_logOptions.PreallocateBytes, _logOptions.SegmentBytes) + PartitionOverheadBytes;
        long room = (Budget.Limit - Budget.Other) / each;
        if (_partitions.Count + partitions > room)
        {
            throw new ClusterException(
                ErrorCode.StorageFull,
                $"the storage budget of {Budget.Limit} bytes has room for {room} partitions of at least {each} bytes, and there are "
                + $"{_partitions.Count} already; raise storage.budget or delete a topic");
        }
    }

    /// <summary>
    /// Measures what else lies in the data directory, drops what is too old or too much. Blocks on the disk; called now and then.
    /// </summary>
    public void Clean()
    {
        long logs = _cleaner.SizeOfLogs();
        Budget.Other = Math.Max(0, DirectorySize.Of(_directories.DataDirectory) - logs) + DirectorySize.Headroom;
        _cleaner.Clean((log, error) => _logger.LogError("{Directory} cannot be cleaned: {Problem}", log.Directory, error.Message));
    }

    /// <summary>Opens what the topology newly gives to this SPU; closes and deletes the logs of topics that are gone.</summary>
    public async Task ApplyAsync(TopologyMap topology)
    {
        await _applying.WaitAsync().ConfigureAwait(false);
        try
        {
            foreach (TopicInfo topic in topology.Topics.Values)
            {
                foreach (PartitionInfo info in topic.Partitions.Where(info => info.LeaderSpu == Id))
                    _partitions.GetOrAdd(new PartitionId(topic.Name, info.Number), key => Open(key, topic, info));
            }

            foreach (Partition partition in _partitions.Values.Where(partition => partition.IsOpen))
                ApplySettings(topology, partition);

            foreach (string gone in _partitions.Keys.Select(key => key.Topic).Distinct().Where(name => !topology.Topics.ContainsKey(name)))
                await DropTopicAsync(gone).ConfigureAwait(false);
        }
        finally
        {
            _applying.Release();
        }
    }

    /// <summary>
    /// Tries again to open what could not be opened: the reason may have been a full disk, rights, or an error that has passed.
    /// A log that failed while it was open stays failed until the next start, because what it lacks is not known.
    /// </summary>
    /// <returns>Whether any partition is open that was not.</returns>
    public async Task<bool> ReopenAsync(TopologyMap topology)
    {
        await _applying.WaitAsync().ConfigureAwait(false);
        try
        {
            bool opened = false;
            foreach (Partition closed in _partitions.Values.Where(partition => !partition.IsOpen).ToArray())
            {
                if (topology.Topics.GetValueOrDefault(closed.Id.Topic) is not { } topic)
                    continue;

                Partition partition = Open(closed.Id, topic, closed.Info, closed.Problem);
                _partitions[closed.Id] = partition;
                if (!partition.IsOpen)
                    continue;

                opened = true;
                _logger.LogInformation("{Partition} could be opened after all", closed.Id);
            }

            return opened;
        }
        finally
        {
            _applying.Release();
        }
    }

    /// <summary>
    /// Puts another log in a partition's place, which begins at <paramref name="firstOffset"/> with what the old one holds from
    /// <paramref name="carryFrom"/> on; the rest of the old one goes. Producers and readers of the partition are refused
    /// meanwhile. After a crash it is the old log that is there, or the new one.
    /// </summary>
    /// <exception cref="EdgeStreamException">There is no room, or the log cannot be read; the old one stays.</exception>
    /// <exception cref="IOException">The same, of the disk.</exception>
    public async Task ReplaceLogAsync(TopicInfo topic, PartitionInfo info, long firstOffset, long carryFrom)
    {
        var key = new PartitionId(topic.Name, info.Number);
        await _applying.WaitAsync().ConfigureAwait(false);
        try
        {
            if (!_partitions.TryGetValue(key, out Partition? old))
                return;

            _partitions[key] = new Partition(key, info, "its log is being replaced; try again");

            if (old.IsOpen)
                _cleaner.Remove(old.Log);

            await old.DisposeAsync().ConfigureAwait(false);
            try
            {
                await new LogReplacement(_directories.PathOf(key), _logOptions, _files ?? DiskFiles.Instance, _resources, _cleaner)
                    .RunAsync(PartitionDirectories.NewManifest(topic, info) with { FirstOffset = firstOffset }, topic.Settings.ToLogSettings(_isHub), carryFrom)
                    .ConfigureAwait(false);
            }
            finally
            {
                _partitions[key] = Open(key, topic, info);
            }
        }
        finally
        {
            _applying.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(_partitions.Values.Select(partition => partition.DisposeAsync().AsTask())).ConfigureAwait(false);
        _partitions.Clear();
        _applying.Dispose();
    }

    /// <summary>
    /// Out of the way first, in one step: a topic of the same name must not find what could not be removed. What is left over
    /// then goes at the next start.
    /// </summary>
    private void DeleteDirectory(string topic)
    {
        string path = _directories.PathOf(topic);
        if (!Directory.Exists(path))
            return;

        string condemned = Path.Combine(_directories.Root, $"{DeletedPrefix}{topic}-{Guid.NewGuid():N}");
        Directory.Move(path, condemned);
        DiskFiles.Instance.SyncDirectory(_directories.Root);
        TryDelete(condemned);
    }

    private void ApplySettings(TopologyMap topology, Partition partition)
    {
        if (topology.Topics.GetValueOrDefault(partition.Id.Topic) is not { } topic)
            return;

        // First in the manifest, from which the metadata can be rebuilt.
        IReadOnlyDictionary<string, string?> changes = PartitionDirectories.ChangesTo(partition.Log.Manifest, topic, partition.Info);
        if (changes.Count > 0)
            partition.Log.SaveSettings(changes);

        LogSettings settings = topic.Settings.ToLogSettings(_isHub);
        if (partition.Log.Settings != settings)
            partition.Log.Settings = settings;
    }

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

    private void Report(PartitionId key, PartitionLog log)
    {
        if (log.Recovery.TornBytes > 0)
        {
            _logger.LogWarning(
                "{Partition}: passed over {Bytes} bytes of an interrupted write behind the last whole batch; it goes on at offset {End}",
                key, log.Recovery.TornBytes, log.Offsets.End);
        }

        if (log.Recovery.LostRecords > 0)
        {
            _logger.LogError(
                "{Partition}: {Records} records could not be found or read and were noted as gaps; what is left of damaged files is in '{Folder}'",
                key, log.Recovery.LostRecords, Path.Combine(log.Directory, "quarantine"));
        }

        if (log.Recovery.NewIncarnation)
        {
            _logger.LogWarning(
                "{Partition}: its {Manifest} could not be read and was set aside; the records are there, but a hub takes it for another log",
                key, PartitionManifest.FileName);
        }
    }

    /// <summary>Whether the records were stamped elsewhere: those of an edge at the hub, or what has flown down at an edge.</summary>
    private bool IsCopy(TopicInfo topic, PartitionInfo info) => _isHub ? info.GeoLocation is not null && !topic.Settings.IsDown : topic.Settings.IsDown;

    /// <param name="key">Which.</param>
    /// <param name="topic">Its topic.</param>
    /// <param name="info">What the topology knows of it.</param>
    /// <param name="knownProblem">What was in the way before, which is not logged again; null at the first try.</param>
    private Partition Open(PartitionId key, TopicInfo topic, PartitionInfo info, string? knownProblem = null)
    {
        string path = _directories.PathOf(key);
        try
        {
            Directory.CreateDirectory(_directories.PathOf(topic.Name));
            DiskFiles.Instance.SyncDirectory(_directories.Root);
            LogReplacement.Complete(path, _files ?? DiskFiles.Instance);
            PartitionLog log = PartitionLog.Open(
                path, () => PartitionDirectories.NewManifest(topic, info), _logOptions, _files, topic.Settings.ToLogSettings(_isHub),
                IsCopy(topic, info) ? _resources with { Clock = null } : _resources);
            _cleaner.Add(log);
            Report(key, log);

            return new Partition(key, info, log);
        }
        catch (Exception error) when (error is EdgeStreamException or IOException or UnauthorizedAccessException)
        {
            if (error.Message != knownProblem)
                _logger.LogError("{Partition} cannot be opened: {Problem}; tried again every minute", key, error.Message);

            return new Partition(key, info, error.Message);
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

    private async ValueTask DropTopicAsync(string topic)
    {
        foreach (PartitionId key in _partitions.Keys.Where(key => key.Topic == topic).ToArray())
        {
            if (_partitions.TryRemove(key, out Partition? partition))
            {
                if (partition.IsOpen)
                    _cleaner.Remove(partition.Log);

                await partition.DisposeAsync().ConfigureAwait(false);
            }
        }

        DeleteDirectory(topic);
    }
}
