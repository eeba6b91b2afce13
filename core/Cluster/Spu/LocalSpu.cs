using System.Collections.Concurrent;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Engines;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Log;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Cluster.Spu;

/// <summary>
/// The streaming processing unit of this process: owns the logs of the partitions that the topology gives to it, wherever its engine keeps them.
/// An SC knows those of other processes by <see cref="RegisteredSpu"/>.
/// Lookups are safe from any thread; the topology is applied by one caller at a time.
/// </summary>
public sealed class LocalSpu : ISpus, IAsyncDisposable
{
    // Partitions that are opened or changed at once, where each has to be asked for elsewhere. With more the servers are no faster.
    private const int AtOnce = 64;

    private readonly ConcurrentDictionary<PartitionId, Partition> _partitions = new();
    private readonly SemaphoreSlim _applying = new(1);
    private readonly IPartitionEngine _engine;
    private readonly ILogger<LocalSpu> _logger;
    private readonly bool _isHub;

    /// <param name="id">Its number in the cluster.</param>
    /// <param name="engine">Keeps the partitions; disposed with the SPU.</param>
    /// <param name="logger">Told what cannot be opened.</param>
    /// <param name="isHub">Whether mirror topics end here.</param>
    public LocalSpu(int id, IPartitionEngine engine, ILogger<LocalSpu> logger, bool isHub = false)
    {
        Id = id;
        _engine = engine;
        _logger = logger;
        _isHub = isHub;
    }

    /// <summary>One whose partitions are segment files; see <see cref="SegmentEngine"/>.</summary>
    public LocalSpu(
        int id, PartitionDirectories directories, LogOptions logOptions, ILogger<LocalSpu> logger, IStorageFiles? files = null,
        LogResources? resources = null, bool isHub = false)
        : this(id, new SegmentEngine(directories, logOptions, logger, files, resources, isHub), logger, isHub)
    {
    }

    public int Id { get; }

    /// <inheritdoc cref="IPartitionEngine.RetryAfter"/>
    public TimeSpan RetryAfter => _engine.RetryAfter;

    /// <inheritdoc cref="IPartitionEngine.Problem"/>
    public string? StoreProblem => _engine.Problem;

    /// <summary>Whether <see cref="ReopenAsync"/> has something to do.</summary>
    public bool HasClosed => _partitions.Values.Any(partition => IsClosed(partition) || partition.SettingsProblem is not null);

    /// <summary>All partitions of this SPU, by topic and number.</summary>
    public IReadOnlyList<Partition> Partitions =>
        [.. _partitions.Values.OrderBy(partition => partition.Id.Topic, StringComparer.Ordinal).ThenBy(partition => partition.Id.Partition)];

    /// <summary>Partitions that were led with later epochs than this SPU was told, the first <see cref="OvertakenPartition.MostAtOnce"/>.</summary>
    public IReadOnlyList<OvertakenPartition> Overtaken =>
    [
        .. _partitions.Values.Where(partition => partition.LaterEpoch is not null)
            .OrderBy(partition => partition.Id.Topic, StringComparer.Ordinal).ThenBy(partition => partition.Id.Partition)
            .Select(partition => new OvertakenPartition(partition.Id, partition.Info.LeaderEpoch, partition.LaterEpoch!.Value))
            .Take(OvertakenPartition.MostAtOnce),
    ];

    /// <inheritdoc/>
    public Partition? Find(PartitionId partition) => _partitions.GetValueOrDefault(partition);

    /// <summary>Of those that are open.</summary>
    public ValueTask<StoredLog?> FindStoredAsync(PartitionId partition) => new(
        Find(partition) is { IsOpen: true } open ? new StoredLog(open.Log.Manifest.Settings, open.Log.Offsets.End, open.Log.SizeInBytes()) : null);

    /// <summary>All of them here.</summary>
    public IEnumerable<PartitionInfo> Place(TopologyMap map, string topic, IEnumerable<PartitionInfo> partitions) =>
        partitions.Select(partition => partition with { LeaderSpu = Id });

    /// <inheritdoc/>
    public ValueTask CheckHoldsAsync(TopicInfo topic, TopicSettings settings)
    {
        foreach (Partition partition in _partitions.Values.Where(partition => partition.Id.Topic == topic.Name && partition.IsOpen))
            TopicLimits.CheckHolds(partition.Id, partition.Log.SizeInBytes(), partition.Log.Settings.RetentionBytes, settings);

        return ValueTask.CompletedTask;
    }

    /// <summary>This one is there.</summary>
    public SpuStatus StatusOf(int id) => new(Online: id == Id);

    /// <summary>Done: what was applied is served.</summary>
    public Task SettleAsync() => Task.CompletedTask;

    /// <summary>Opens the partitions of the topology that was stored. Called once, before anything else.</summary>
    public async Task StartAsync(TopologyMap topology)
    {
        await _engine.StartAsync(topology).ConfigureAwait(false);
        await ApplyAsync(topology).ConfigureAwait(false);
    }

    /// <exception cref="ClusterException">There is no room for so many more partitions.</exception>
    public void CheckRoomFor(int partitions) => _engine.CheckRoomFor(partitions, _partitions.Count);

    /// <inheritdoc cref="IPartitionEngine.DefaultReplicas"/>
    public int DefaultReplicas => _engine.DefaultReplicas;

    /// <inheritdoc cref="IPartitionEngine.CheckReplicasAsync"/>
    public ValueTask CheckReplicasAsync(int replicas) => _engine.CheckReplicasAsync(replicas);

    /// <inheritdoc cref="IPartitionEngine.HasReplicasAsync"/>
    public ValueTask<bool> HasReplicasAsync(PartitionId partition, int replicas, CancellationToken cancellationToken) =>
        _engine.HasReplicasAsync(partition, replicas, cancellationToken);

    /// <inheritdoc cref="IPartitionEngine.CheckSync"/>
    public void CheckSync(SyncPolicy sync) => _engine.CheckSync(sync);

    /// <inheritdoc cref="IPartitionEngine.Clean"/>
    public void Clean() => _engine.Clean();

    /// <summary>
    /// Opens what the topology newly gives to this SPU, and closes what others lead now; closes and deletes the logs of topics that are
    /// gone.
    /// </summary>
    public async Task ApplyAsync(TopologyMap topology)
    {
        await _applying.WaitAsync().ConfigureAwait(false);
        try
        {
            await ForEachAsync([.. _partitions.Values.Where(partition => IsLost(topology, partition))], lost => CloseAsync(lost.Id)).ConfigureAwait(false);

            await OpenAllAsync(topology.Topics.Values
                .SelectMany(topic => topic.Partitions.Select(info => (Topic: topic, Info: info, Key: new PartitionId(topic.Name, info.Number))))
                .Where(one => one.Info.LeaderSpu == Id && !_partitions.ContainsKey(one.Key))
                .Select(one => (one.Key, one.Topic, one.Info, (string?)null))).ConfigureAwait(false);

            await ForEachAsync(
                [.. _partitions.Values.Where(partition => !IsClosed(partition))],
                partition => ApplySettingsAsync(topology, partition)).ConfigureAwait(false);

            foreach (string gone in _partitions.Keys.Select(key => key.Topic).Distinct().Where(name => !topology.Topics.ContainsKey(name)))
            {
                await CloseTopicAsync(gone).ConfigureAwait(false);
                _engine.Delete(gone);
            }
        }
        finally
        {
            _applying.Release();
        }
    }

    /// <summary>
    /// Tries again to open what could not be opened: the reason may have been a full disk, rights, servers that were away, or an error
    /// that has passed. What failed while it was open is opened anew where the engine knows how it stands with its records; elsewhere it
    /// stays failed until the next start. Settings that could not be changed are tried again as well.
    /// </summary>
    /// <returns>Whether any partition is open that was not.</returns>
    public async Task<bool> ReopenAsync(TopologyMap topology)
    {
        await _applying.WaitAsync().ConfigureAwait(false);
        try
        {
            var closed = _partitions.Values.Where(IsClosed)
                .Where(partition => topology.Topics.ContainsKey(partition.Id.Topic) && !IsLost(topology, partition)).ToArray();
            foreach (Partition failed in closed.Where(partition => partition.IsOpen))
            {
                _logger.LogWarning("{Partition} has stopped and is opened anew: {Problem}", failed.Id, failed.Problem);
                _partitions[failed.Id] = new Partition(failed.Id, failed.Info, failed.Problem!);
                await _engine.CloseAsync(failed.Log).ConfigureAwait(false);
            }

            await OpenAllAsync(closed.Select(partition => (partition.Id, topology.Topics[partition.Id.Topic], partition.Info, partition.Problem)))
                .ConfigureAwait(false);
            Partition[] opened = [.. closed.Select(partition => _partitions[partition.Id]).Where(partition => partition.IsOpen)];
            foreach (Partition partition in opened)
                _logger.LogInformation("{Partition} could be opened after all", partition.Id);

            await ForEachAsync(
                [.. opened, .. _partitions.Values.Where(partition => partition.SettingsProblem is not null && !IsClosed(partition))],
                partition => ApplySettingsAsync(topology, partition)).ConfigureAwait(false);

            return opened.Length > 0;
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
                await _engine.CloseAsync(old.Log).ConfigureAwait(false);

            try
            {
                await _engine.ReplaceAsync(key, topic, info, firstOffset, carryFrom).ConfigureAwait(false);
            }
            finally
            {
                _partitions[key] = await OpenAsync(key, topic, info).ConfigureAwait(false);
            }
        }
        finally
        {
            _applying.Release();
        }
    }

    /// <summary>Closes a topic and deletes its records before the topology forgets it, where the engine has to; see <see cref="IPartitionEngine.DeleteStoredAsync"/>.</summary>
    public async Task DeleteStoredAsync(TopicInfo topic)
    {
        if (!_engine.DeletesStored)
            return;

        await _applying.WaitAsync().ConfigureAwait(false);
        try
        {
            await CloseTopicAsync(topic.Name).ConfigureAwait(false);
            await _engine.DeleteStoredAsync(topic).ConfigureAwait(false);
        }
        catch (EdgeStreamException failure)
        {
            // It stays, and what is left of it is opened again.
            foreach (PartitionInfo info in topic.Partitions)
                _partitions[new PartitionId(topic.Name, info.Number)] = new Partition(new PartitionId(topic.Name, info.Number), info, failure.Message);

            throw;
        }
        finally
        {
            _applying.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(_partitions.Values.Where(partition => partition.IsOpen).Select(partition => _engine.CloseAsync(partition.Log).AsTask()))
            .ConfigureAwait(false);
        _partitions.Clear();
        await _engine.DisposeAsync().ConfigureAwait(false);
        _applying.Dispose();
    }

    private bool IsClosed(Partition partition) => !partition.IsOpen || (_engine.ReopensFailed && partition.Log.Failure is not null);

    private async ValueTask ApplySettingsAsync(TopologyMap topology, Partition partition)
    {
        if (topology.Topics.GetValueOrDefault(partition.Id.Topic) is not { } topic)
            return;

        try
        {
            // First in the manifest, from which the metadata can be rebuilt.
            IReadOnlyDictionary<string, string?> changes = PartitionDirectories.ChangesTo(partition.Log.Manifest, topic, partition.Info);
            if (changes.Count > 0)
                await partition.Log.SaveSettingsAsync(changes).ConfigureAwait(false);

            LogSettings settings = topic.Settings.ToLogSettings(_isHub);
            if (partition.Log.Settings != settings)
                await partition.Log.ChangeSettingsAsync(settings).ConfigureAwait(false);

            await _engine.ChangeReplicasAsync(partition.Log, topic.Settings.Replicas).ConfigureAwait(false);
            partition.SettingsProblem = null;
        }
        catch (Exception unreachable) when (_engine.ReopensFailed && unreachable is not (OperationCanceledException or ObjectDisposedException))
        {
            if (partition.SettingsProblem is null)
                _logger.LogWarning("{Partition} does not take its settings yet, which is tried again: {Problem}", partition.Id, unreachable.Message);

            partition.SettingsProblem = $"it does not take its settings yet, which is tried again: {unreachable.Message}";
        }
    }

    private async ValueTask OpenAllAsync(IEnumerable<(PartitionId Key, TopicInfo Topic, PartitionInfo Info, string? KnownProblem)> all)
    {
        await ForEachAsync(all.ToArray(), async one =>
            _partitions[one.Key] = await OpenAsync(one.Key, one.Topic, one.Info, one.KnownProblem).ConfigureAwait(false)).ConfigureAwait(false);
    }

    /// <summary>Some at once, each as soon as there is a place. What completes at once is done by the caller, one after the other.</summary>
    private static async Task ForEachAsync<T>(T[] all, Func<T, ValueTask> action)
    {
        using var places = new SemaphoreSlim(AtOnce);
        var running = new List<Task>(all.Length);
        foreach (T one in all)
        {
            await places.WaitAsync().ConfigureAwait(false);
            running.Add(RunAsync(one));
        }

        await Task.WhenAll(running).ConfigureAwait(false);

        async Task RunAsync(T one)
        {
            try
            {
                await action(one).ConfigureAwait(false);
            }
            finally
            {
                places.Release();
            }
        }
    }

    /// <param name="key">Which.</param>
    /// <param name="topic">Its topic.</param>
    /// <param name="info">What the topology knows of it.</param>
    /// <param name="knownProblem">What was in the way before, which is not logged again; null at the first try.</param>
    private async Task<Partition> OpenAsync(PartitionId key, TopicInfo topic, PartitionInfo info, string? knownProblem = null)
    {
        try
        {
            return new Partition(key, info, await _engine.OpenAsync(key, topic, info).ConfigureAwait(false));
        }
        catch (Exception error) when (error is not (OperationCanceledException or ObjectDisposedException))
        {
            // Whatever it is, it must not keep the others closed. What nobody expects is logged with where it comes from.
            Exception? unexpected = error is EdgeStreamException or IOException or UnauthorizedAccessException ? null : error;
            if (error.Message != knownProblem)
                _logger.LogError(unexpected, "{Partition} cannot be opened: {Problem}; it is tried again by itself", key, error.Message);

            // Who asks for it has to be sent elsewhere, not to be told to wait.
            return error is LaterEpochException later
                ? new Partition(key, info, error.Message, later.Code, later.Epoch)
                : new Partition(key, info, error.Message);
        }
    }

    /// <summary>Whether another SPU leads a partition of a topic that is still there, or did since it was opened here.</summary>
    private bool IsLost(TopologyMap topology, Partition partition) =>
        topology.Topics.TryGetValue(partition.Id.Topic, out TopicInfo? topic)
        && topic.Find(partition.Id.Partition) is { } now
        && (now.LeaderSpu != Id || now.LeaderEpoch != partition.Info.LeaderEpoch);

    private async ValueTask CloseTopicAsync(string topic)
    {
        foreach (PartitionId key in _partitions.Keys.Where(key => key.Topic == topic).ToArray())
            await CloseAsync(key).ConfigureAwait(false);
    }

    private async ValueTask CloseAsync(PartitionId key)
    {
        if (_partitions.TryRemove(key, out Partition? partition) && partition.IsOpen)
            await _engine.CloseAsync(partition.Log).ConfigureAwait(false);
    }
}
