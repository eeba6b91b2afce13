using System.Collections.Concurrent;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Log;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Cluster.Spu;

/// <summary>
/// The streaming processing unit: owns the logs of the partitions that the topology gives to it. Lookups are safe from any
/// thread; the topology is applied by one caller at a time.
/// </summary>
public sealed class SpuNode(
    int id, PartitionDirectories directories, LogOptions logOptions, ILogger<SpuNode> logger, IStorageFiles? files = null)
    : IAsyncDisposable
{
    private const string DeletedPrefix = ".deleted-";

    private readonly ConcurrentDictionary<PartitionId, Partition> _partitions = new();
    private readonly SemaphoreSlim _applying = new(1);

    public int Id => id;

    /// <summary>All partitions of this SPU, by topic and number.</summary>
    public IReadOnlyList<Partition> Partitions =>
        [.. _partitions.Values.OrderBy(partition => partition.Id.Topic, StringComparer.Ordinal).ThenBy(partition => partition.Id.Partition)];

    public Partition? Find(PartitionId partition) => _partitions.GetValueOrDefault(partition);

    /// <summary>Opens the partitions of the topology that was stored. Called once, before anything else.</summary>
    public Task StartAsync(TopologyMap topology)
    {
        Directory.CreateDirectory(directories.Root);
        SetOrphansAside(topology);
        return ApplyAsync(topology);
    }

    /// <summary>Opens what the topology newly gives to this SPU; closes and deletes the logs of topics that are gone.</summary>
    public async Task ApplyAsync(TopologyMap topology)
    {
        await _applying.WaitAsync().ConfigureAwait(false);
        try
        {
            foreach (TopicInfo topic in topology.Topics.Values)
            {
                foreach (PartitionInfo info in topic.Partitions.Where(info => info.LeaderSpu == id))
                    _partitions.GetOrAdd(new PartitionId(topic.Name, info.Number), key => Open(key, topic, info));
            }

            foreach (string gone in _partitions.Keys.Select(key => key.Topic).Distinct().Where(name => !topology.Topics.ContainsKey(name)))
                await DropTopicAsync(gone).ConfigureAwait(false);
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
        string path = directories.PathOf(topic);
        if (!Directory.Exists(path))
            return;

        string condemned = Path.Combine(directories.Root, $"{DeletedPrefix}{topic}-{Guid.NewGuid():N}");
        Directory.Move(path, condemned);
        DiskFiles.Instance.SyncDirectory(directories.Root);
        TryDelete(condemned);
    }

    private void TryDelete(string condemned)
    {
        try
        {
            DiskFiles.Instance.DeleteDirectory(condemned);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            logger.LogWarning("'{Path}' of a deleted topic cannot be removed: {Problem}", condemned, error.Message);
        }
    }

    private void Report(PartitionId key, PartitionLog log)
    {
        if (log.Recovery.TornBytes > 0)
        {
            logger.LogWarning(
                "{Partition}: cut {Bytes} bytes of an interrupted write behind the last whole batch; it goes on at offset {End}",
                key, log.Recovery.TornBytes, log.Offsets.End);
        }

        if (log.Recovery.NewIncarnation)
        {
            logger.LogWarning(
                "{Partition}: its {Manifest} could not be read and was set aside; the records are there, but a hub takes it for another log",
                key, PartitionManifest.FileName);
        }
    }

    private Partition Open(PartitionId key, TopicInfo topic, PartitionInfo info)
    {
        string path = directories.PathOf(key);
        try
        {
            Directory.CreateDirectory(directories.PathOf(topic.Name));
            DiskFiles.Instance.SyncDirectory(directories.Root);
            PartitionLog log = PartitionLog.Open(path, () => PartitionDirectories.NewManifest(topic, info), logOptions, files);
            Report(key, log);

            return new Partition(key, info, log);
        }
        catch (Exception error) when (error is EdgeStreamException or IOException or UnauthorizedAccessException)
        {
            logger.LogError("{Partition} cannot be opened: {Problem}", key, error.Message);
            return new Partition(key, info, error.Message);
        }
    }

    /// <summary>
    /// A topic's directory that the topology does not know (a deletion that a power cut interrupted, or a copy that somebody put
    /// there) must not come back to life under a new topic of its name, nor be deleted unasked.
    /// </summary>
    private void SetOrphansAside(TopologyMap topology)
    {
        foreach (string path in Directory.GetDirectories(directories.Root))
        {
            string name = Path.GetFileName(path);
            if (name.StartsWith(DeletedPrefix, StringComparison.Ordinal))
                TryDelete(path);

            if (name.StartsWith('.') || topology.Topics.ContainsKey(name))
                continue;

            string aside = Path.Combine(directories.Root, $".orphan-{name}-{Guid.NewGuid():N}");
            Directory.Move(path, aside);
            logger.LogWarning("'{Path}' belongs to no topic; it was set aside as '{Aside}'", path, aside);
        }
    }

    private async ValueTask DropTopicAsync(string topic)
    {
        foreach (PartitionId key in _partitions.Keys.Where(key => key.Topic == topic).ToArray())
        {
            if (_partitions.TryRemove(key, out Partition? partition))
                await partition.DisposeAsync().ConfigureAwait(false);
        }

        DeleteDirectory(topic);
    }
}
