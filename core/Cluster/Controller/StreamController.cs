using System.Collections.Immutable;
using EdgeStream.Cluster.Engines;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Retention;

namespace EdgeStream.Cluster.Controller;

/// <summary>
/// The streaming controller (SC): the only one that changes the topology. Each change goes metadata store → SPUs → new
/// <see cref="Current"/> snapshot, one at a time. Safe from any thread.
/// </summary>
public sealed class StreamController : IClusterView, IMirrorPartitions, IDisposable
{
    private const int MaxPartitions = 1000;

    // Edges bring their topics: one that has gone wrong must not fill the hub with them.
    private const int MaxMirrorTopics = 1000;

    private readonly ITopologyStore _store;
    private readonly IClusterTopologyStore? _spuStore;
    private readonly DeletedTopics? _deleted;
    private readonly ISpus _spus;
    private readonly bool _isHub;
    // Not disposed of: a change that is under way at the end gives it back still.
    private readonly SemaphoreSlim _changing = new(1);
    private readonly CancellationTokenSource _ended = new();
    private readonly WatchedTopology _topology;

    /// <param name="store">Where the topology is kept; stays the caller's.</param>
    /// <param name="spu">The SPU in this process; stays the caller's.</param>
    /// <param name="isHub">Whether mirror topics are filled by geo-locations (a hub) or by local producers (an edge).</param>
    public StreamController(ITopologyStore store, LocalSpu spu, bool isHub)
        : this(store, spu, [new SpuInfo(spu.Id, [])], isHub)
    {
    }

    /// <param name="store">Where the topology is kept; stays the caller's.</param>
    /// <param name="spus">Those that register with this SC; stays the caller's.</param>
    public StreamController(IClusterTopologyStore store, ISpus spus)
        : this(store, spus, [.. store.LoadSpus().OrderBy(spu => spu.Id)], isHub: true) => (_spuStore, _deleted) = (store, new DeletedTopics(store, spus));

    /// <param name="store">Where the topology is kept; stays the caller's.</param>
    /// <param name="spus">Who serves the partitions; stays the caller's.</param>
    /// <param name="known">The SPUs that there are.</param>
    /// <param name="isHub">Whether mirror topics are filled by geo-locations (a hub) or by local producers (an edge).</param>
    public StreamController(ITopologyStore store, ISpus spus, ImmutableArray<SpuInfo> known, bool isHub)
    {
        _store = store;
        _spus = spus;
        _isHub = isHub;
        _topology = new WatchedTopology(new TopologyMap(
            store.ClusterId,
            known,
            store.LoadGeoLocations().ToImmutableSortedDictionary(geo => geo.Name, geo => geo, StringComparer.Ordinal),
            store.LoadTopics().ToImmutableSortedDictionary(topic => topic.Name, topic => topic, StringComparer.Ordinal))
        {
            RevokedNames = store.LoadRevokedNames().ToImmutableSortedSet(StringComparer.Ordinal),
        });
    }

    /// <inheritdoc/>
    public TopologyMap Current => _topology.Current;

    /// <inheritdoc/>
    public bool IsHub => _isHub;

    /// <inheritdoc/>
    public event Func<string, Task>? TopicDeleted;

    /// <inheritdoc/>
    public Task WaitForChangeAsync(TopologyMap known, CancellationToken cancellationToken) => _topology.WaitForChangeAsync(known, cancellationToken);

    /// <summary>Opens the partitions of the stored topology. Called once, before anything is served.</summary>
    public Task StartAsync() => _spus.StartAsync(Current);

    /// <summary>Wakes who watches the topology, though nothing in it is another: a partition was opened that could not be.</summary>
    public Task TouchAsync() => ChangeAsync(map => (map with { }, true));

    /// <param name="name">The topic's name.</param>
    /// <param name="partitions">How many; 0 stands for one, or for none with a mirror topic at a hub.</param>
    /// <param name="settings">Its settings.</param>
    /// <param name="geoLocations">Of one that flows down: those that it is for; empty for all.</param>
    /// <param name="assigned">The SPU that leads each partition whenever it is there, by number; empty for any.</param>
    /// <exception cref="InvalidNameException"/>
    /// <exception cref="ClusterException">It exists already, or the settings contradict each other.</exception>
    public async Task<TopicInfo> CreateTopicAsync(
        string name, int partitions, TopicSettings settings, IReadOnlyCollection<string>? geoLocations = null, IReadOnlyList<int>? assigned = null)
    {
        Names.CheckTopic(name);
        settings = settings with { Replicas = settings.Replicas == 0 ? _spus.DefaultReplicas : settings.Replicas };
        TopicLimits.Check(settings);
        _spus.CheckSync(settings.Sync);
        geoLocations ??= [];
        if (geoLocations.Count > 0 && !settings.IsDown)
            throw new ClusterException(ErrorCode.InvalidArgument, "geo-locations are chosen for topics that flow down; add --down");

        if (settings.IsDown && !_isHub)
        {
            throw new ClusterException(
                ErrorCode.WrongRole, "a topic that flows down is made at the hub, which tells its edges to have it");
        }

        assigned ??= [];
        if (assigned.Count > 0 && _spuStore is null)
        {
            throw new ClusterException(
                ErrorCode.InvalidArgument,
                "SC and SPU are one process here, which leads all partitions; leave --assign out, or run 'edgestream sc' and several of 'edgestream spu' on NATS servers");
        }

        int count = CheckPartitionCount(Assignment.CheckCount(Current, assigned, partitions, settings), settings);
        settings = settings with
        {
            AtEveryEdge = _isHub && settings.Mirror,
            Down = !settings.IsDown ? DownTo.Nobody : geoLocations.Count > 0 ? DownTo.Chosen : DownTo.Everybody,
        };
        await _spus.CheckReplicasAsync(settings.Replicas).ConfigureAwait(false);
        return await ChangeAsync(async map =>
        {
            if (map.Topics.ContainsKey(name))
                throw new ClusterException(ErrorCode.TopicExists, $"topic '{name}' exists already");

            await MakeRoomForAsync(name).ConfigureAwait(false);
            IEnumerable<PartitionInfo> wanted = settings.IsDown
                ? DownTopics.Partitions(map, geoLocations)
                : Enumerable.Range(0, count).Select(n => new PartitionInfo(n, PartitionInfo.NoLeader, PinnedSpu: Assignment.PinnedOf(assigned, n)));
            var topic = new TopicInfo(name, settings, [.. Place(map, name, wanted)]);
            _spus.CheckRoomFor(topic.Partitions.Length);
            return (await SaveTopicAsync(map, topic).ConfigureAwait(false), topic);
        }).ConfigureAwait(false);
    }

    /// <summary>At an edge: has the copy of a topic that flows down from the hub, made at the first call.</summary>
    /// <param name="name">The topic's name.</param>
    /// <param name="timeToLive">As the hub has it now.</param>
    /// <exception cref="ClusterException">A topic of this edge has the name.</exception>
    public Task<TopicInfo> EnsureDownTopicAsync(string name, TimeSpan? timeToLive)
    {
        Names.CheckTopic(name);
        return ChangeAsync(async map =>
        {
            TopicInfo? known = map.Topics.GetValueOrDefault(name);
            if (known is { Settings.IsDown: false })
            {
                throw new ClusterException(
                    ErrorCode.TopicExists, $"topic '{name}' of this edge has the name of one that flows down from the hub; rename one of the two");
            }

            if (known is null)
                _spus.CheckRoomFor(1);

            TopicInfo topic = known ?? new TopicInfo(name, new TopicSettings { Down = DownTo.Chosen }, [.. _spus.Place(map, name, [new PartitionInfo(0, PartitionInfo.NoLeader)])]);
            if (known is not null && known.Settings.TimeToLive == timeToLive)
                return (map, known);

            topic = topic with { Settings = topic.Settings with { TimeToLive = timeToLive } };
            return (await SaveTopicAsync(map, topic).ConfigureAwait(false), topic);
        });
    }

    /// <summary>
    /// Changes how a topic is kept: retention, overflow, sync, compression, time to live, replicas. Whether it is mirrored or flows down stays.
    /// </summary>
    /// <exception cref="ClusterException">There is no such topic, or it holds more than it would be allowed to.</exception>
    public Task<TopicInfo> AlterTopicAsync(string name, Func<TopicSettings, TopicSettings> change) => ChangeAsync(async map =>
    {
        TopicInfo topic = map.Topics.GetValueOrDefault(Names.CheckTopic(name)) ?? throw ClusterException.TopicNotFound(name);
        TopicSettings settings = change(topic.Settings) with
        {
            Mirror = topic.Settings.Mirror,
            AtEveryEdge = topic.Settings.AtEveryEdge,
            Down = topic.Settings.Down,
        };

        // What has flown down keeps the hub's.
        if (topic.Settings.IsDown && !_isHub)
            settings = settings with { TimeToLive = topic.Settings.TimeToLive };

        TopicLimits.Check(settings);

        // One that was stored before is not in the way of the rest.
        if (settings.Sync != topic.Settings.Sync)
            _spus.CheckSync(settings.Sync);

        if (settings.Replicas != topic.Settings.Replicas)
            await _spus.CheckReplicasAsync(settings.Replicas).ConfigureAwait(false);

        await _spus.CheckHoldsAsync(topic, settings).ConfigureAwait(false);
        topic = topic with { Settings = settings };
        return (await SaveTopicAsync(map, topic).ConfigureAwait(false), topic);
    });

    /// <inheritdoc cref="ReplicaChange.CountPendingAsync"/>
    public Task<int> CountPendingAsync(TopicInfo topic, CancellationToken cancellationToken) => ReplicaChange.CountPendingAsync(_spus, topic, cancellationToken);

    /// <summary>Deletes a topic. Where its records cannot be deleted now, in a cluster <see cref="RemoveDeletedAsync"/> does that later.</summary>
    /// <exception cref="EdgeStreamException">There is no such topic; or, where SC and SPU are one process, its records cannot be deleted now.</exception>
    public Task DeleteTopicAsync(string name) => ChangeAsync(async map =>
    {
        TopicInfo topic = map.Topics.GetValueOrDefault(Names.CheckTopic(name)) ?? throw ClusterException.TopicNotFound(name);
        TopologyMap next = map with { Topics = map.Topics.Remove(name) };
        if (_deleted is { } deleted)
            await DeleteInClusterAsync(deleted, topic, map, next).ConfigureAwait(false);
        else
            await DeleteStoredAsync(topic, map, () => _store.DeleteTopicAsync(name)).ConfigureAwait(false);

        if (TopicDeleted is { } told)
            await told(name).ConfigureAwait(false);

        return (next, true);
    });

    /// <summary>In a cluster: deletes what may be stored still of topics that are deleted. For the time when SPUs were told that they are.</summary>
    /// <exception cref="EdgeStreamException">Of some it could not be; it is to be tried again.</exception>
    public async Task RemoveDeletedAsync()
    {
        EdgeStreamException? problem = null;
        foreach (string name in _deleted?.Names ?? [])
        {
            await WaitForTurnAsync().ConfigureAwait(false);
            try
            {
                await _deleted!.RemoveAsync(name).ConfigureAwait(false);
            }
            catch (EdgeStreamException later)
            {
                problem = later;
            }
            finally
            {
                _changing.Release();
            }
        }

        if (problem is not null)
            throw problem;
    }

    /// <inheritdoc/>
    public Task<PartitionId> EnsureMirrorPartitionAsync(string topicName, string geoLocation) =>
        EnsureMirrorPartitionAsync(topicName, geoLocation, PartitionInfo.NoLeader);

    /// <inheritdoc cref="IMirrorPartitions.EnsureMirrorPartitionAsync"/>
    /// <param name="topicName">The topic at the edge.</param>
    /// <param name="geoLocation">Whose it is.</param>
    /// <param name="wishedLeader">The SPU that asks, which should lead it if none leads another of the geo-location's.</param>
    public async Task<PartitionId> EnsureMirrorPartitionAsync(string topicName, string geoLocation, int wishedLeader)
    {
        Names.CheckTopic(topicName);
        if (Current.Topics.GetValueOrDefault(topicName) is { Settings.Mirror: true } mirror && mirror.PartitionOf(geoLocation) is { } there)
            return new PartitionId(topicName, there.Number);

        return await ChangeAsync(async map =>
        {
            TopicInfo? known = map.Topics.GetValueOrDefault(topicName);
            if (known is null)
                await MakeRoomForAsync(topicName).ConfigureAwait(false);

            TopicInfo topic = known ?? new TopicInfo(
                topicName, new TopicSettings(Mirror: true) { Overflow = OverflowPolicy.Reject, Replicas = _spus.DefaultReplicas }, []);
            if (!topic.Settings.Mirror)
            {
                throw new ClusterException(
                    ErrorCode.TopicExists, $"the hub has a topic '{topicName}' that is no mirror topic; rename one of the two");
            }

            PartitionInfo? partition = topic.PartitionOf(geoLocation);
            if (partition is null)
            {
                _spus.CheckRoomFor(1);
                if (map.Topics.Values.Count(other => other.Settings.Mirror && other.PartitionOf(geoLocation) is not null) >= MaxMirrorTopics)
                {
                    throw new ClusterException(
                        ErrorCode.InvalidArgument, $"geo-location '{geoLocation}' mirrors {MaxMirrorTopics} topics already, which is the most");
                }

                partition = Place(map, topicName, [new PartitionInfo(topic.NextPartitionNumber, wishedLeader, geoLocation)]).Single();
                topic = topic with { Partitions = topic.Partitions.Add(partition) };
            }

            return (await SaveTopicAsync(map, topic).ConfigureAwait(false), new PartitionId(topicName, partition.Number));
        }).ConfigureAwait(false);
    }

    /// <summary>At an edge: <see cref="LocalSpu.ReplaceLogAsync"/> of a topic's one partition.</summary>
    /// <exception cref="EdgeStreamException">There is no such topic, or no room; the old log stays.</exception>
    public async Task ReplaceLogAsync(string topicName, long firstOffset, long carryFrom)
    {
        TopicInfo topic = Current.Topics.GetValueOrDefault(topicName) ?? throw ClusterException.TopicNotFound(topicName);
        await _spus.ReplaceLogAsync(topic, topic.Partitions[0], firstOffset, carryFrom).ConfigureAwait(false);
    }

    /// <summary>Adds a geo-location, or changes what is known of it. Topics that flow down to everybody flow to it too.</summary>
    /// <exception cref="ClusterException">There is no room for its partitions; nothing was changed.</exception>
    public Task SaveGeoLocationAsync(GeoLocationInfo geoLocation) => SaveGeoLocationAsync(geoLocation, unlessKnown: false);

    /// <inheritdoc/>
    public Task EnsureGeoLocationAsync(string geoLocation) => Current.GeoLocations.ContainsKey(geoLocation)
        ? Task.CompletedTask
        : SaveGeoLocationAsync(GeoLocationInfo.Lost(geoLocation), unlessKnown: true);

    private Task<bool> SaveGeoLocationAsync(GeoLocationInfo geoLocation, bool unlessKnown) => ChangeAsync(async map =>
    {
        if (unlessKnown && map.GeoLocations.ContainsKey(geoLocation.Name))
            return (map, true);

        IReadOnlyList<TopicInfo> extended = geoLocation.Revoked ? [] : DownTopics.Extended(
            map, geoLocation.Name, (topic, partition) => Place(map, topic, [partition]).Single());
        if (extended.Count > 0)
            _spus.CheckRoomFor(extended.Count);

        await _store.SaveGeoLocationAsync(geoLocation).ConfigureAwait(false);
        map = map with { GeoLocations = map.GeoLocations.SetItem(geoLocation.Name, geoLocation) };
        foreach (TopicInfo topic in extended)
            map = await SaveTopicAsync(map, topic).ConfigureAwait(false);

        return (map, true);
    });

    /// <summary>Shuts out the certificates of a program or an SPU, by the name in them.</summary>
    public Task RevokeNameAsync(string name) => ChangeAsync(async map =>
    {
        if (map.RevokedNames.Contains(name))
            return (map, true);

        await _store.SaveRevokedNameAsync(name).ConfigureAwait(false);
        return (map with { RevokedNames = map.RevokedNames.Add(name) }, true);
    });

    /// <summary>In a cluster: an SPU that is new, or is elsewhere than it was.</summary>
    public Task SaveSpuAsync(SpuInfo spu) => ChangeAsync(async map =>
    {
        SpuInfo? known = map.Spus.FirstOrDefault(one => one.Id == spu.Id);
        if (known is not null && known.Zone == spu.Zone && known.Endpoints.SequenceEqual(spu.Endpoints))
            return (map, false);

        await SpuStore.SaveSpuAsync(spu).ConfigureAwait(false);
        return (map with { Spus = [.. map.Spus.Where(one => one.Id != spu.Id).Append(spu).OrderBy(one => one.Id)] }, true);
    }, settles: false);

    /// <summary>In a cluster: forgets an SPU that is gone for good.</summary>
    /// <exception cref="ClusterException">There is no such SPU, or it is there, or leads partitions still.</exception>
    public Task DeleteSpuAsync(int id) => ChangeAsync(async map =>
    {
        if (map.Spus.All(spu => spu.Id != id))
            throw new ClusterException(ErrorCode.InvalidArgument, $"there is no SPU {id}; 'edgestream spu list' shows them");

        if (_spus.StatusOf(id).Online)
            throw new ClusterException(ErrorCode.InvalidArgument, $"SPU {id} is there; stop it first, and others get its partitions");

        if (map.Topics.Values.Sum(topic => topic.Partitions.Count(partition => partition.LeaderSpu == id)) is > 0 and var led)
            throw new ClusterException(ErrorCode.InvalidArgument, $"SPU {id} leads {led} partition{(led == 1 ? "" : "s")} still; others get them as soon as there are any");

        await SpuStore.DeleteSpuAsync(id).ConfigureAwait(false);
        return (map with { Spus = map.Spus.RemoveAll(spu => spu.Id == id) }, true);
    }, settles: false);

    /// <summary>In a cluster: has a term above one that an SPU knows; the term, as it was written.</summary>
    public async Task<long> RaiseTermAsync(long above)
    {
        await WaitForTurnAsync().ConfigureAwait(false);
        try
        {
            await SpuStore.RaiseTermAsync(above).ConfigureAwait(false);
            return SpuStore.Term;
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <summary>In a cluster: gives partitions to other SPUs, as <paramref name="plan"/> says of the topology then.</summary>
    /// <returns>How many.</returns>
    public Task<int> MoveAsync(Func<TopologyMap, IReadOnlyList<PartitionMove>> plan) => ChangeAsync(async map =>
    {
        IReadOnlyList<PartitionMove> moves = plan(map);
        foreach (IGrouping<string, PartitionMove> moved in moves.GroupBy(move => move.Partition.Topic))
        {
            TopicInfo topic = map.Topics[moved.Key];
            Dictionary<int, PartitionMove> byNumber = moved.ToDictionary(move => move.Partition.Partition);
            map = await SaveTopicAsync(map, topic with
            {
                Partitions =
                [
                    .. topic.Partitions.Select(partition => byNumber.TryGetValue(partition.Number, out PartitionMove? move)
                        ? partition with { LeaderSpu = move.Spu, LeaderEpoch = move.Epoch }
                        : partition),
                ],
            }).ConfigureAwait(false);
        }

        return (map, moves.Count);
    }, settles: false);

    /// <summary>
    /// In a cluster: gives partitions anew to the SPUs that lead them, with epochs that are later than those that they have found. What an SPU
    /// has found that was told late, so that another leads it by now, or itself with another epoch, changes nothing.
    /// </summary>
    /// <param name="found">By SPU.</param>
    /// <returns>Which; none where there was nothing to do.</returns>
    public Task<IReadOnlyList<PartitionId>> RaiseEpochsAsync(ILookup<int, OvertakenPartition> found) => ChangeAsync<IReadOnlyList<PartitionId>>(async map =>
    {
        OvertakenPartition[] due = [.. found.SelectMany(spu => spu.Where(one => IsPresent(map, spu.Key, one)))];
        if (due.Length == 0)
            return (map, []);

        await SpuStore.RaiseNextEpochAsync(due.Max(one => one.Found)).ConfigureAwait(false);
        foreach (IGrouping<string, PartitionId> raised in due.Select(one => one.Partition).GroupBy(id => id.Topic))
        {
            TopicInfo topic = map.Topics[raised.Key];
            HashSet<int> numbers = [.. raised.Select(id => id.Partition)];
            long epoch = SpuStore.NextEpoch;
            map = await SaveTopicAsync(map, topic with
            {
                Partitions = [.. topic.Partitions.Select(partition => numbers.Contains(partition.Number) ? partition with { LeaderEpoch = epoch } : partition)],
            }).ConfigureAwait(false);
        }

        return (map, [.. due.Select(one => one.Partition)]);

        static bool IsPresent(TopologyMap map, int spu, OvertakenPartition one) =>
            map.Topics.GetValueOrDefault(one.Partition.Topic)?.Find(one.Partition.Partition) is { } now
            && now.LeaderSpu == spu && now.LeaderEpoch == one.Told && one.Found >= one.Told;
    }, settles: false);

    /// <inheritdoc/>
    public SpuStatus StatusOf(int spu) => _spus.StatusOf(spu);

    /// <inheritdoc/>
    public Partition GetPartition(string topicName, int number)
    {
        TopicInfo topic = Current.Topics.GetValueOrDefault(Names.CheckTopic(topicName)) ?? throw ClusterException.TopicNotFound(topicName);
        return _spus.Find(new PartitionId(topicName, number)) ?? throw ClusterException.NotHere(Current, topic, number);
    }

    /// <inheritdoc cref="ISpus.FindStoredAsync"/>
    public ValueTask<StoredLog?> FindStoredAsync(PartitionId partition) => _spus.FindStoredAsync(partition);

    /// <summary>Refuses changes from now on, those that wait for their turn included. One that is under way ends as its store lets it.</summary>
    public void Dispose() => _ended.Cancel();

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

    private IClusterTopologyStore SpuStore => _spuStore
        ?? throw new ClusterException(ErrorCode.WrongRole, "SC and SPU are one process here, and that SPU is the only one");

    /// <summary>The write first: an SC that is not the active one any more is refused before it has touched anything.</summary>
    private async Task DeleteInClusterAsync(DeletedTopics deleted, TopicInfo topic, TopologyMap map, TopologyMap next)
    {
        try
        {
            await deleted.AddAsync(topic).ConfigureAwait(false);
            await LetGoAsync(next).ConfigureAwait(false);
        }
        catch (ClusterException full) when (full.Code == ErrorCode.StorageFull)
        {
            // What is to make room needs some. The records have enough, and were to go anyway.
            await LetGoAsync(next).ConfigureAwait(false);
            await DeleteStoredAsync(topic, map, () => deleted.AddAsync(topic)).ConfigureAwait(false);
        }

        try
        {
            await deleted.RemoveAsync(topic.Name).ConfigureAwait(false);
        }
        catch (Exception)
        {
            // Whatever it was: the topic is gone, as was written, and what is left of it goes later.
        }
    }

    /// <summary>Who has it open would make its streams anew.</summary>
    private async Task LetGoAsync(TopologyMap next)
    {
        await _spus.ApplyAsync(next).ConfigureAwait(false);
        await _spus.SettleAsync().ConfigureAwait(false);
    }

    /// <summary>The records first: where nobody else deletes them, nobody would know of them without the topic.</summary>
    private async Task DeleteStoredAsync(TopicInfo topic, TopologyMap map, Func<Task> write)
    {
        try
        {
            await _spus.DeleteStoredAsync(topic).ConfigureAwait(false);
            await write().ConfigureAwait(false);
        }
        catch
        {
            // It is there still, though without its records: who serves it must know.
            await _spus.ApplyAsync(map).ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>A new topic must not find the records of a deleted one of its name.</summary>
    private async Task MakeRoomForAsync(string topic)
    {
        try
        {
            if (_deleted is { } deleted)
                await deleted.RemoveAsync(topic).ConfigureAwait(false);
        }
        catch (EdgeStreamException problem)
        {
            throw new ClusterException(
                ErrorCode.Unavailable, $"a topic '{topic}' was deleted, and its records cannot be deleted now, which is tried again by itself: {problem.Message}");
        }
    }

    /// <summary>Who leads new partitions. An SPU that serves a deleted topic of the name still, cut off from the SC, must not pass for one of them.</summary>
    private IEnumerable<PartitionInfo> Place(TopologyMap map, string topic, IEnumerable<PartitionInfo> partitions) =>
        _spus.Place(map, topic, partitions).Select(partition => partition with { LeaderEpoch = _spuStore?.NextEpoch ?? 0 });

    private async Task<TopologyMap> SaveTopicAsync(TopologyMap map, TopicInfo topic)
    {
        await _store.SaveTopicAsync(topic).ConfigureAwait(false);
        return map with { Topics = map.Topics.SetItem(topic.Name, topic) };
    }

    private Task<T> ChangeAsync<T>(Func<TopologyMap, (TopologyMap Next, T Result)> change) => ChangeAsync(map => Task.FromResult(change(map)));

    private async Task WaitForTurnAsync()
    {
        try
        {
            await _changing.WaitAsync(_ended.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            throw new ClusterException(ErrorCode.Unavailable, "this SC changes the topology no more: it stops, or another is the active one; try again");
        }
    }

    /// <param name="change">What becomes of the topology; the same object for no change.</param>
    /// <param name="settles">Whether it completes only when the SPUs serve the change, those that are slow left aside.</param>
    private async Task<T> ChangeAsync<T>(Func<TopologyMap, Task<(TopologyMap Next, T Result)>> change, bool settles = true)
    {
        T result;
        await WaitForTurnAsync().ConfigureAwait(false);
        try
        {
            TopologyMap before = Current;
            (TopologyMap next, result) = await change(before).ConfigureAwait(false);
            if (ReferenceEquals(next, before))
                return result;

            await _spus.ApplyAsync(next).ConfigureAwait(false);
            _topology.Publish(next);
        }
        finally
        {
            _changing.Release();
        }

        if (settles)
            await _spus.SettleAsync().ConfigureAwait(false);

        return result;
    }
}
