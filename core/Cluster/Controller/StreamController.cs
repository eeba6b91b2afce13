using System.Collections.Immutable;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Retention;

namespace EdgeStream.Cluster.Controller;

/// <summary>
/// The streaming controller (SC): the only one that changes the topology. Each change goes metadata store → SPU → new
/// <see cref="Current"/> snapshot, one at a time. Safe from any thread.
/// </summary>
public sealed class StreamController : IDisposable
{
    private const int MaxPartitions = 1000;

    // Edges bring their topics: one that has gone wrong must not fill the hub with them.
    private const int MaxMirrorTopics = 1000;

    private readonly IMetadataStore _store;
    private readonly SpuNode _spu;
    private readonly bool _isHub;
    private readonly SemaphoreSlim _changing = new(1);
    private TopologyMap _current;
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <param name="store">Where the topology is kept; stays the caller's.</param>
    /// <param name="spu">The SPU in this process; stays the caller's.</param>
    /// <param name="isHub">Whether mirror topics are filled by geo-locations (a hub) or by local producers (an edge).</param>
    public StreamController(IMetadataStore store, SpuNode spu, bool isHub)
    {
        _store = store;
        _spu = spu;
        _isHub = isHub;
        _current = new TopologyMap(
            store.ClusterId,
            [new SpuInfo(spu.Id, [])],
            store.LoadGeoLocations().ToImmutableSortedDictionary(geo => geo.Name, geo => geo, StringComparer.Ordinal),
            store.LoadTopics().ToImmutableSortedDictionary(topic => topic.Name, topic => topic, StringComparer.Ordinal));
    }

    /// <summary>The topology at this instant.</summary>
    public TopologyMap Current => Volatile.Read(ref _current);

    public bool IsHub => _isHub;

    /// <summary>Told the name of a topic that is gone, before another can be made of that name. Must not wait for the controller.</summary>
    public event Action<string>? TopicDeleted;

    /// <summary>Completes once <see cref="Current"/> is another than <paramref name="known"/>, and the SPU has applied it.</summary>
    public async Task WaitForChangeAsync(TopologyMap known, CancellationToken cancellationToken)
    {
        Task changed = Volatile.Read(ref _changed).Task;
        if (ReferenceEquals(Current, known))
            await changed.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Opens the partitions of the stored topology. Called once, before anything is served.</summary>
    public Task StartAsync() => _spu.StartAsync(Current);

    /// <summary><see cref="SpuNode.ReopenAsync"/>; who watches the topology is woken where a partition came.</summary>
    public async Task ReopenPartitionsAsync()
    {
        if (await _spu.ReopenAsync(Current).ConfigureAwait(false))
            await ChangeAsync(map => (map with { }, true)).ConfigureAwait(false);
    }

    /// <param name="name">The topic's name.</param>
    /// <param name="partitions">How many; 0 stands for one, or for none with a mirror topic at a hub.</param>
    /// <param name="settings">Its settings.</param>
    /// <param name="geoLocations">Of one that flows down: those that it is for; empty for all.</param>
    /// <exception cref="InvalidNameException"/>
    /// <exception cref="ClusterException">It exists already, or the settings contradict each other.</exception>
    public async Task<TopicInfo> CreateTopicAsync(
        string name, int partitions, TopicSettings settings, IReadOnlyCollection<string>? geoLocations = null)
    {
        Names.CheckTopic(name);
        settings = settings with { Replicas = settings.Replicas == 0 ? _spu.DefaultReplicas : settings.Replicas };
        TopicLimits.Check(settings);
        geoLocations ??= [];
        if (geoLocations.Count > 0 && !settings.IsDown)
            throw new ClusterException(ErrorCode.InvalidArgument, "geo-locations are chosen for topics that flow down; add --down");

        if (settings.IsDown && !_isHub)
        {
            throw new ClusterException(
                ErrorCode.WrongRole, "a topic that flows down is made at the hub, which tells its edges to have it");
        }

        int count = CheckPartitionCount(partitions, settings);
        settings = settings with
        {
            AtEveryEdge = _isHub && settings.Mirror,
            Down = !settings.IsDown ? DownTo.Nobody : geoLocations.Count > 0 ? DownTo.Chosen : DownTo.Everybody,
        };
        await _spu.CheckReplicasAsync(settings.Replicas).ConfigureAwait(false);
        return await ChangeAsync(map =>
        {
            if (map.Topics.ContainsKey(name))
                throw new ClusterException(ErrorCode.TopicExists, $"topic '{name}' exists already");

            var topic = new TopicInfo(name, settings, settings.IsDown
                ? DownTopics.Partitions(map, geoLocations, _spu.Id)
                : [.. Enumerable.Range(0, count).Select(n => new PartitionInfo(n, _spu.Id))]);
            _spu.CheckRoomFor(topic.Partitions.Length);
            return (SaveTopic(map, topic), topic);
        }).ConfigureAwait(false);
    }

    /// <summary>At an edge: has the copy of a topic that flows down from the hub, made at the first call.</summary>
    /// <param name="name">The topic's name.</param>
    /// <param name="timeToLive">As the hub has it now.</param>
    /// <exception cref="ClusterException">A topic of this edge has the name.</exception>
    public Task<TopicInfo> EnsureDownTopicAsync(string name, TimeSpan? timeToLive)
    {
        Names.CheckTopic(name);
        return ChangeAsync(map =>
        {
            TopicInfo? known = map.Topics.GetValueOrDefault(name);
            if (known is { Settings.IsDown: false })
            {
                throw new ClusterException(
                    ErrorCode.TopicExists, $"topic '{name}' of this edge has the name of one that flows down from the hub; rename one of the two");
            }

            if (known is null)
                _spu.CheckRoomFor(1);

            TopicInfo topic = known ?? new TopicInfo(name, new TopicSettings { Down = DownTo.Chosen }, [new PartitionInfo(0, _spu.Id)]);
            if (known is not null && known.Settings.TimeToLive == timeToLive)
                return (map, known);

            topic = topic with { Settings = topic.Settings with { TimeToLive = timeToLive } };
            return (SaveTopic(map, topic), topic);
        });
    }

    /// <summary>
    /// Changes how a topic is kept: retention, overflow, sync, compression, time to live. Whether it is mirrored or flows down stays.
    /// </summary>
    /// <exception cref="ClusterException">There is no such topic, or it holds more than it would be allowed to.</exception>
    public Task<TopicInfo> AlterTopicAsync(string name, Func<TopicSettings, TopicSettings> change) => ChangeAsync(map =>
    {
        TopicInfo topic = map.Topics.GetValueOrDefault(Names.CheckTopic(name)) ?? throw ClusterException.TopicNotFound(name);
        TopicSettings settings = change(topic.Settings) with
        {
            Mirror = topic.Settings.Mirror,
            AtEveryEdge = topic.Settings.AtEveryEdge,
            Down = topic.Settings.Down,
            Replicas = topic.Settings.Replicas,
        };

        // What has flown down keeps the hub's.
        if (topic.Settings.IsDown && !_isHub)
            settings = settings with { TimeToLive = topic.Settings.TimeToLive };

        TopicLimits.Check(settings);
        foreach (Partition partition in _spu.Partitions.Where(partition => partition.Id.Topic == name && partition.IsOpen))
            TopicLimits.CheckHolds(partition, settings);

        topic = topic with { Settings = settings };
        return (SaveTopic(map, topic), topic);
    });

    /// <exception cref="EdgeStreamException">There is no such topic, or its records cannot be deleted now.</exception>
    public Task DeleteTopicAsync(string name) => ChangeAsync(async map =>
    {
        await _spu.DeleteBeforehandAsync(map.Topics.GetValueOrDefault(Names.CheckTopic(name)) ?? throw ClusterException.TopicNotFound(name))
            .ConfigureAwait(false);
        _store.DeleteTopic(name);
        TopicDeleted?.Invoke(name);
        return (map with { Topics = map.Topics.Remove(name) }, true);
    });

    /// <summary>At a hub: the partition that a geo-location's topic is copied to, made at the first call.</summary>
    /// <exception cref="ClusterException">The hub has a topic of that name that is no mirror topic.</exception>
    public async Task<PartitionId> EnsureMirrorPartitionAsync(string topicName, string geoLocation)
    {
        Names.CheckTopic(topicName);
        if (Current.Topics.GetValueOrDefault(topicName) is { Settings.Mirror: true } mirror && mirror.PartitionOf(geoLocation) is { } known)
            return new PartitionId(topicName, known.Number);

        return await ChangeAsync(map =>
        {
            TopicInfo topic = map.Topics.GetValueOrDefault(topicName) ?? new TopicInfo(
                topicName, new TopicSettings(Mirror: true) { Overflow = OverflowPolicy.Reject, Replicas = _spu.DefaultReplicas }, []);
            if (!topic.Settings.Mirror)
            {
                throw new ClusterException(
                    ErrorCode.TopicExists, $"the hub has a topic '{topicName}' that is no mirror topic; rename one of the two");
            }

            PartitionInfo? partition = topic.PartitionOf(geoLocation);
            if (partition is null)
            {
                _spu.CheckRoomFor(1);
                if (map.Topics.Values.Count(other => other.Settings.Mirror && other.PartitionOf(geoLocation) is not null) >= MaxMirrorTopics)
                {
                    throw new ClusterException(
                        ErrorCode.InvalidArgument, $"geo-location '{geoLocation}' mirrors {MaxMirrorTopics} topics already, which is the most");
                }

                partition = new PartitionInfo(topic.NextPartitionNumber, _spu.Id, geoLocation);
                topic = topic with { Partitions = topic.Partitions.Add(partition) };
            }

            return (SaveTopic(map, topic), new PartitionId(topicName, partition.Number));
        }).ConfigureAwait(false);
    }

    /// <summary>At an edge: <see cref="SpuNode.ReplaceLogAsync"/> of a topic's one partition.</summary>
    /// <exception cref="EdgeStreamException">There is no such topic, or no room; the old log stays.</exception>
    public async Task ReplaceLogAsync(string topicName, long firstOffset, long carryFrom)
    {
        TopicInfo topic = Current.Topics.GetValueOrDefault(topicName) ?? throw ClusterException.TopicNotFound(topicName);
        await _spu.ReplaceLogAsync(topic, topic.Partitions[0], firstOffset, carryFrom).ConfigureAwait(false);
    }

    /// <summary>Adds a geo-location, or changes what is known of it. Topics that flow down to everybody flow to it too.</summary>
    /// <exception cref="ClusterException">There is no room for its partitions; nothing was changed.</exception>
    public Task SaveGeoLocationAsync(GeoLocationInfo geoLocation) => ChangeAsync(map =>
    {
        IReadOnlyList<TopicInfo> extended = geoLocation.Revoked ? [] : DownTopics.Extended(map, geoLocation.Name, _spu.Id);
        if (extended.Count > 0)
            _spu.CheckRoomFor(extended.Count);

        _store.SaveGeoLocation(geoLocation);
        return (extended.Aggregate(map with { GeoLocations = map.GeoLocations.SetItem(geoLocation.Name, geoLocation) }, SaveTopic), true);
    });

    /// <exception cref="ClusterException">There is no such topic or partition.</exception>
    public Partition GetPartition(string topicName, int number)
    {
        TopicInfo topic = Current.Topics.GetValueOrDefault(Names.CheckTopic(topicName)) ?? throw ClusterException.TopicNotFound(topicName);
        return _spu.Find(new PartitionId(topicName, number))
            ?? throw ClusterException.PartitionNotFound(topicName, number, topic.Partitions.Length);
    }

    public void Dispose() => _changing.Dispose();

    private int CheckPartitionCount(int partitions, TopicSettings settings)
    {
        if (partitions is < 0 or > MaxPartitions)
            throw new ClusterException(ErrorCode.InvalidArgument, $"a topic has 1 to {MaxPartitions} partitions, not {partitions}");

        if (settings.IsDown)
        {
            return partitions == 0 ? 0 : throw new ClusterException(
                ErrorCode.InvalidArgument, "a topic that flows down has one partition for each geo-location; leave --partitions out");
        }

        if (!settings.Mirror)
            return Math.Max(1, partitions);

        if (_isHub)
        {
            return partitions == 0 ? 0 : throw new ClusterException(
                ErrorCode.InvalidArgument, "a mirror topic at a hub gets one partition for each geo-location; leave --partitions out");
        }

        return partitions <= 1 ? 1 : throw new ClusterException(
            ErrorCode.InvalidArgument, $"a mirror topic at an edge has one partition, not {partitions}; leave --partitions out");
    }

    private TopologyMap SaveTopic(TopologyMap map, TopicInfo topic)
    {
        _store.SaveTopic(topic);
        return map with { Topics = map.Topics.SetItem(topic.Name, topic) };
    }

    private Task<T> ChangeAsync<T>(Func<TopologyMap, (TopologyMap Next, T Result)> change) => ChangeAsync(map => Task.FromResult(change(map)));

    private async Task<T> ChangeAsync<T>(Func<TopologyMap, Task<(TopologyMap Next, T Result)>> change)
    {
        await _changing.WaitAsync().ConfigureAwait(false);
        try
        {
            (TopologyMap next, T result) = await change(_current).ConfigureAwait(false);
            await _spu.ApplyAsync(next).ConfigureAwait(false);
            Volatile.Write(ref _current, next);
            Interlocked.Exchange(ref _changed, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).SetResult();
            return result;
        }
        finally
        {
            _changing.Release();
        }
    }
}
