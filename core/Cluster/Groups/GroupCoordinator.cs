using System.Collections.Immutable;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage.Log;

namespace EdgeStream.Cluster.Groups;

/// <summary>A partition that a group reads, or has read.</summary>
/// <param name="Group">The group's name.</param>
/// <param name="Partition">Which.</param>
/// <param name="Offset">Of the first record that the group has not dealt with.</param>
/// <param name="Member">Who reads it now; null for nobody.</param>
public sealed record GroupShare(string Group, PartitionId Partition, long Offset, string? Member);

/// <summary>
/// Consumer groups: shares a topic's partitions among the members of a group and keeps how far it has read. A record is given to a group
/// at least once: what a member did not commit before it went comes again. Safe from any thread.
/// </summary>
/// <remarks>
/// In a cluster it has the groups of those topics whose first partition is led here; what it knows of the others' is not to be relied on.
/// Where the log of a partition is elsewhere, positions are taken as the members say, and who reads there is told what is not held.
/// </remarks>
public sealed class GroupCoordinator : IAsyncDisposable
{
    /// <summary>How long a member may take to let go of what was taken away.</summary>
    public static readonly TimeSpan ReleaseTimeout = TimeSpan.FromMinutes(1);

    private readonly IClusterView _cluster;
    private readonly TimeProvider _time;
    private readonly PositionStore _positions;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _watching;

    // Guards the groups and what their members own. Nothing waits inside.
    private readonly Lock _lock = new();
    private readonly Dictionary<(string Group, string Topic), ConsumerGroup> _groups = [];

    // In a cluster: the topics whose groups are coordinated here, by the leader's epoch, as soon as what others have written is learnt.
    private readonly Dictionary<string, (long Epoch, Task Learnt)> _places = [];

    private GroupCoordinator(IClusterView cluster, PositionStore positions, TimeProvider time)
    {
        (_cluster, _positions, _time) = (cluster, positions, time);
        cluster.TopicDeleted += ForgetTopicAsync;
        _watching = WatchAsync();
    }

    /// <param name="cluster">Of the topology, whose SPU is in this process.</param>
    /// <param name="positions">Becomes the coordinator's to dispose.</param>
    /// <param name="time">The clock.</param>
    public static async Task<GroupCoordinator> StartAsync(IClusterView cluster, PositionStore positions, TimeProvider time)
    {
        // Not where others coordinate as well: what is new to this one is not gone.
        if (cluster.Current is { Spus: [{ Endpoints.Length: 0 }] } map)
            await ForgetGoneAsync(map, positions).ConfigureAwait(false);

        return new GroupCoordinator(cluster, positions, time);
    }

    /// <summary>Adds a member, which gets its share. <see cref="Leave"/> it in the end.</summary>
    /// <param name="group">The group.</param>
    /// <param name="topic">What it reads.</param>
    /// <param name="fromEnd">Where one that is new starts: at the end.</param>
    /// <param name="ends">The ends of partitions that are led elsewhere, for one that is new and starts there.</param>
    /// <param name="member">Who it is.</param>
    /// <exception cref="ClusterException">There is no such topic, another SPU coordinates its groups, there are too many, or an end is not known.</exception>
    /// <exception cref="IOException">Where the group starts could not be written.</exception>
    public async Task<GroupMember> JoinAsync(string group, string topic, bool fromEnd, IReadOnlyDictionary<int, long> ends, string member)
    {
        await TakePlaceAsync(topic).ConfigureAwait(false);
        if (_positions.Find(Names.CheckGroup(group), topic).IsEmpty)
        {
            // Durable before anything is read: after a power cut, "the end" would be another.
            Dictionary<int, long> starts = [];
            foreach (PartitionInfo info in TopicOf(topic).Partitions)
            {
                if (FindHere(topic, info.Number) is not { } partition)
                    starts[info.Number] = !fromEnd ? 0 : ends.TryGetValue(info.Number, out long end) ? end : throw EndUnknown(topic, info);
                else if (partition.IsOpen)
                    starts[info.Number] = fromEnd ? partition.Log.Offsets.Durable : partition.Log.StartOffset;
            }

            await _positions.SetAsync(group, topic, starts, EpochOf(topic)).ConfigureAwait(false);
        }

        lock (_lock)
        {
            CheckPlace(topic);
            var key = (group, topic);
            if (!_groups.TryGetValue(key, out ConsumerGroup? joined))
                _groups[key] = joined = new ConsumerGroup(group, topic);

            var added = new GroupMember(joined, member);
            joined.Add(added);
            Share(joined);
            added.Changed();
            return added;
        }
    }

    /// <summary>What was its share is shared among the others.</summary>
    public void Leave(GroupMember member)
    {
        lock (_lock)
        {
            member.Group.Remove(member);
            if (member.Group.Members.Count == 0)
                _groups.Remove((member.Group.Name, member.Group.Topic));

            Share(member.Group);
        }
    }

    /// <summary>What a member reads from now on, with where the group is in each. It has to be told: it is expected to let go of what of it goes to others.</summary>
    public IReadOnlyList<KeyValuePair<int, long>> ShareOf(GroupMember member)
    {
        IReadOnlySet<int> owned;
        lock (_lock)
            owned = member.Tell();

        ImmutableSortedDictionary<int, long> positions = _positions.Find(member.Group.Name, member.Group.Topic);
        return [.. owned.Select(partition => new KeyValuePair<int, long>(
            partition, Clamp(positions.GetValueOrDefault(partition), OffsetsOf(member.Group.Topic, partition))))];
    }

    /// <summary>Takes note of how far a member has read; the inner task completes when that is durable.</summary>
    /// <exception cref="ClusterException">A partition is not the member's, or an offset is none of its log's.</exception>
    public Task CommitAsync(GroupMember member, IReadOnlyCollection<KeyValuePair<int, long>> positions)
    {
        foreach ((int partition, long offset) in positions)
        {
            long durable = OffsetsOf(member.Group.Topic, partition).Durable;
            if (offset < 0 || offset > durable)
                throw new ClusterException(ErrorCode.InvalidArgument, $"{member.Group.Topic}/{partition} ends at {durable}, and offset {offset} cannot be committed");
        }

        lock (_lock)
        {
            foreach (int partition in positions.Select(position => position.Key))
            {
                if (!member.Owned.Contains(partition) && !member.Releasing.Contains(partition))
                    throw new ClusterException(ErrorCode.InvalidArgument, $"{member.Group.Topic}/{partition} is not the share of '{member.Name}'");
            }

            return _positions.SetAsync(member.Group.Name, member.Group.Topic, positions, EpochOf(member.Group.Topic));
        }
    }

    /// <summary>A member reads these no more. Of those that it was not asked for, nothing comes.</summary>
    public void Release(GroupMember member, IEnumerable<int> partitions)
    {
        lock (_lock)
        {
            member.Releasing.ExceptWith(partitions);
            Share(member.Group);
        }
    }

    /// <exception cref="ClusterException">It was told to release something and has not for too long: others wait for it.</exception>
    public void CheckReleases(GroupMember member)
    {
        lock (_lock)
        {
            if (member.Releasing.Count > 0 && _time.GetElapsedTime(member.ReleasingSince) > ReleaseTimeout)
            {
                throw new ClusterException(
                    ErrorCode.Unavailable, $"'{member.Name}' has not released {member.Group.Topic}/{member.Releasing.Min()} within {ReleaseTimeout.TotalSeconds:0} s");
            }
        }
    }

    /// <summary>In a cluster: learns what others have written of the topics whose groups are coordinated here since.</summary>
    /// <exception cref="Storage.EdgeStreamException">It cannot be read now.</exception>
    public Task LearnAsync() => LearnAsync(_cluster.Current.Topics.Values.Where(IsMine));

    /// <summary>Of the topics whose groups are coordinated here, by group, topic and partition; what was not learnt is missing.</summary>
    public IReadOnlyList<GroupShare> List()
    {
        TopologyMap map = _cluster.Current;
        lock (_lock)
        {
            return [.. _positions.All.Where(positions => map.Topics.TryGetValue(positions.Topic, out TopicInfo? topic) && IsMine(topic)).SelectMany(positions => positions.Offsets.Select(position => new GroupShare(
                positions.Group,
                new PartitionId(positions.Topic, position.Key),
                position.Value,
                _groups.GetValueOrDefault((positions.Group, positions.Topic))?.OwnerOf(position.Key)?.Name)))];
        }
    }

    /// <summary>The durable end of a partition; null where its log is not open here.</summary>
    public long? DurableOf(PartitionId partition) =>
        FindHere(partition.Topic, partition.Partition) is { IsOpen: true } here ? here.Log.Offsets.Durable : null;

    /// <summary>Sets where a group without members goes on, of one partition or all; a group that is new is made. Durable on return.</summary>
    /// <exception cref="ClusterException">It has members, or there is no such topic or partition, or no such offset.</exception>
    public async Task ResetAsync(string group, string topic, int? partition, Func<IPartitionLog, ValueTask<long>> to)
    {
        Dictionary<int, long> positions = [];
        foreach (int number in partition is { } one ? [one] : TopicOf(topic).Partitions.Select(info => info.Number))
            positions[number] = await to(_cluster.GetPartition(topic, number).Log).ConfigureAwait(false);

        await ResetAsync(group, topic, positions).ConfigureAwait(false);
    }

    /// <inheritdoc cref="ResetAsync(string, string, int?, Func{IPartitionLog, ValueTask{long}})"/>
    public async Task ResetAsync(string group, string topic, IReadOnlyDictionary<int, long> positions)
    {
        Names.CheckGroup(group);
        await TakePlaceAsync(topic).ConfigureAwait(false);
        foreach ((int number, long offset) in positions)
        {
            LogOffsets offsets = OffsetsOf(topic, number);
            if (offset < offsets.Start || offset > offsets.Durable)
                throw new ClusterException(ErrorCode.OffsetOutOfRange, $"{topic}/{number} has the offsets {offsets.Start} to {offsets.Durable}, not {offset}");
        }

        Task saved;
        lock (_lock)
        {
            CheckUnused(group, topic);
            saved = _positions.SetAsync(group, topic, positions, EpochOf(topic));
        }

        await saved.ConfigureAwait(false);
    }

    /// <summary>Forgets what a group without members has read of a topic, or of all. Durable when the task completes.</summary>
    /// <exception cref="ClusterException">It has members, or is unknown.</exception>
    public async Task DeleteAsync(string group, string? topic)
    {
        if (topic is null)
            await LearnAsync().ConfigureAwait(false);
        else if (_cluster.Current.Topics.ContainsKey(topic))
            await TakePlaceAsync(topic).ConfigureAwait(false);

        string[] topics = [.. _positions.All
            .Where(one => one.Group == group && (topic is null || one.Topic == topic))
            .Where(one => !_cluster.Current.Topics.TryGetValue(one.Topic, out TopicInfo? known) || IsMine(known))
            .Select(one => one.Topic)];
        if (topics.Length == 0)
        {
            throw new ClusterException(
                ErrorCode.GroupNotFound, $"there is no group '{group}'{(topic is null ? "" : $" that reads '{topic}'")}; 'edgestream consumer list' shows them");
        }

        lock (_lock)
        {
            foreach (string read in topics)
                CheckUnused(group, read);
        }

        foreach (string read in topics)
            await _positions.DeleteAsync(group, read).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        _cluster.TopicDeleted -= ForgetTopicAsync;
        await _stop.CancelAsync().ConfigureAwait(false);
        await _watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _positions.DisposeAsync().ConfigureAwait(false);
        _stop.Dispose();
    }

    /// <summary>Retention may have dropped what comes next; a log that ends before it is not the one that was read.</summary>
    private static long Clamp(long position, LogOffsets offsets) => position < offsets.Start || position > offsets.Durable ? offsets.Start : position;

    private void CheckUnused(string group, string topic)
    {
        if (_groups.GetValueOrDefault((group, topic)) is { Members.Count: > 0 and var count })
        {
            throw new ClusterException(
                ErrorCode.GroupInUse, $"group '{group}' reads '{topic}' with {count} member{(count == 1 ? "" : "s")} now; stop {(count == 1 ? "it" : "them")} first");
        }
    }

    private TopicInfo TopicOf(string name) =>
        _cluster.Current.Topics.GetValueOrDefault(Names.CheckTopic(name)) ?? throw ClusterException.TopicNotFound(name);

    /// <summary>Of a partition that is closed or elsewhere, nothing but that it begins at 0 is known; who reads it is told why.</summary>
    private LogOffsets OffsetsOf(string topic, int number) =>
        FindHere(topic, number) is { IsOpen: true } partition ? partition.Log.Offsets : new LogOffsets(0, 0, long.MaxValue, long.MaxValue);

    /// <summary>Null where another SPU leads it.</summary>
    /// <exception cref="ClusterException">There is no such topic or partition.</exception>
    private Partition? FindHere(string topic, int number)
    {
        try
        {
            return _cluster.GetPartition(topic, number);
        }
        catch (ClusterException elsewhere) when (elsewhere.Code == ErrorCode.NotLeader)
        {
            return null;
        }
    }

    private static ClusterException EndUnknown(string topic, PartitionInfo info) => new(
        ErrorCode.Unavailable, $"the end of {topic}/{info.Number} is not known: SPU {info.LeaderSpu}, which leads it, has not answered; try again");

    /// <summary>Whose first partition is led here; of one without, anybody may have the groups, which have nothing to read.</summary>
    private bool IsMine(TopicInfo topic) => FirstOf(topic) is not { } first || FindHere(topic.Name, first.Number) is not null;

    /// <summary>With which the groups of a topic are coordinated here: another coordinator's is higher.</summary>
    private long EpochOf(string topic) => FirstOf(TopicOf(topic))?.LeaderEpoch ?? 0;

    private static PartitionInfo? FirstOf(TopicInfo topic) => topic.Partitions.MinBy(partition => partition.Number);

    /// <summary>To be called before what is known of a topic's groups is relied on.</summary>
    /// <exception cref="ClusterException">There is no such topic, another SPU coordinates its groups, or what it knew cannot be learnt now.</exception>
    private async Task TakePlaceAsync(string name)
    {
        TopicInfo topic = TopicOf(name);
        if (FirstOf(topic) is { } first)
            _cluster.GetPartition(name, first.Number);

        await LearnAsync([topic]).ConfigureAwait(false);
    }

    /// <summary>Whether SC and SPU are one process: then nobody else coordinates anything.</summary>
    private bool IsAlone => _cluster.Current.Spus is [{ Endpoints.Length: 0 }];

    /// <summary>To be called under the lock, before a member is added: one that comes when the place was lost nobody would end.</summary>
    private void CheckPlace(string name)
    {
        TopologyMap map = _cluster.Current;
        if (!IsAlone && map.Topics.TryGetValue(name, out TopicInfo? topic) && FirstOf(topic) is { } first
            && (_places.GetValueOrDefault(name).Epoch != first.LeaderEpoch || FindHere(name, first.Number) is null))
        {
            throw ClusterException.NotHere(map, topic, first.Number);
        }
    }

    private async Task LearnAsync(IEnumerable<TopicInfo> topics)
    {
        if (IsAlone)
            return;

        (string Name, long Epoch)[] all = [.. topics.Select(topic => (topic.Name, FirstOf(topic)?.LeaderEpoch ?? 0))];
        Task[] learning;
        lock (_lock)
        {
            HashSet<string> unknown =
                [.. all.Where(one => !(_places.TryGetValue(one.Name, out var place) && place.Epoch == one.Epoch && !place.Learnt.IsFaulted)).Select(one => one.Name)];
            if (unknown.Count > 0)
            {
                Task learnt = _positions.ReloadAsync(unknown);
                foreach ((string name, long epoch) in all.Where(one => unknown.Contains(one.Name)))
                    _places[name] = (epoch, learnt);
            }

            learning = [.. all.Select(one => _places[one.Name].Learnt).Distinct()];
        }

        await Task.WhenAll(learning).ConfigureAwait(false);
    }

    /// <summary>A power cut between the two may have left positions of a topic that was deleted.</summary>
    private static async Task ForgetGoneAsync(TopologyMap map, PositionStore positions)
    {
        foreach (string gone in positions.All.Select(one => one.Topic).Distinct().Where(topic => !map.Topics.ContainsKey(topic)))
            await positions.DeleteTopicAsync(gone).ConfigureAwait(false);
    }

    private void Share(ConsumerGroup group)
    {
        if (_cluster.Current.Topics.GetValueOrDefault(group.Topic) is { } topic)
            group.Share([.. topic.Partitions.Select(partition => partition.Number)], _time.GetTimestamp());
    }

    private async Task ForgetTopicAsync(string topic)
    {
        EndAll(group => group.Topic == topic, new ClusterException(ErrorCode.TopicNotFound, $"topic '{topic}' was deleted"));
        lock (_lock)
            _places.Remove(topic);

        // Whoever has coordinated its groups: they must not outlive it.
        if (!IsAlone)
            await _positions.ReloadAsync(new HashSet<string> { topic }).ConfigureAwait(false);

        await _positions.DeleteTopicAsync(topic).ConfigureAwait(false);
    }

    private void EndAll(Func<ConsumerGroup, bool> which, ClusterException reason)
    {
        lock (_lock)
        {
            foreach (GroupMember member in _groups.Values.Where(which).SelectMany(group => group.Members).ToArray())
                member.End(reason);
        }
    }

    /// <summary>Geo-locations bring partitions as they come, and in a cluster others come to coordinate.</summary>
    private async Task WatchAsync()
    {
        while (true)
        {
            TopologyMap known = _cluster.Current;
            foreach (TopicInfo lost in LostOf(known))
            {
                EndAll(group => group.Topic == lost.Name, ClusterException.NotHere(known, lost, FirstOf(lost)!.Number));
                lock (_lock)
                    _places.Remove(lost.Name);
            }

            lock (_lock)
            {
                foreach (ConsumerGroup group in _groups.Values)
                    Share(group);
            }

            await _cluster.WaitForChangeAsync(known, _stop.Token).ConfigureAwait(false);
        }
    }

    /// <summary>Topics whose groups another coordinates by now, or did meanwhile.</summary>
    private TopicInfo[] LostOf(TopologyMap map)
    {
        Dictionary<string, (long Epoch, Task Learnt)> places;
        lock (_lock)
            places = new(_places);

        return [.. places
            .Where(place => map.Topics.TryGetValue(place.Key, out TopicInfo? topic) && FirstOf(topic) is { } first
                && (first.LeaderEpoch != place.Value.Epoch || FindHere(topic.Name, first.Number) is null))
            .Select(place => map.Topics[place.Key])];
    }
}
