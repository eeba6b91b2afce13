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
        // A power cut between the two may have left them.
        foreach (string gone in positions.All.Select(one => one.Topic).Distinct().Where(topic => !cluster.Current.Topics.ContainsKey(topic)))
            await positions.DeleteTopicAsync(gone).ConfigureAwait(false);

        return new GroupCoordinator(cluster, positions, time);
    }

    /// <summary>Adds a member, which gets its share. <see cref="Leave"/> it in the end.</summary>
    /// <exception cref="ClusterException">There is no such topic, or there are too many groups.</exception>
    /// <exception cref="IOException">Where the group starts could not be written.</exception>
    public async Task<GroupMember> JoinAsync(string group, string topic, bool fromEnd, string member)
    {
        TopicInfo known = TopicOf(topic);
        if (_positions.Find(Names.CheckGroup(group), topic).IsEmpty)
        {
            // Durable before anything is read: after a power cut, "the end" would be another.
            await _positions.SetAsync(group, topic, known.Partitions
                .Select(info => _cluster.GetPartition(topic, info.Number))
                .Where(partition => partition.IsOpen)
                .ToDictionary(partition => partition.Info.Number, partition => fromEnd ? partition.Log.Offsets.Durable : partition.Log.StartOffset))
                .ConfigureAwait(false);
        }

        lock (_lock)
        {
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

            return _positions.SetAsync(member.Group.Name, member.Group.Topic, positions);
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

    /// <summary>By group, topic and partition.</summary>
    public IReadOnlyList<GroupShare> List()
    {
        lock (_lock)
        {
            return [.. _positions.All.SelectMany(positions => positions.Offsets.Select(position => new GroupShare(
                positions.Group,
                new PartitionId(positions.Topic, position.Key),
                position.Value,
                _groups.GetValueOrDefault((positions.Group, positions.Topic))?.OwnerOf(position.Key)?.Name)))];
        }
    }

    /// <summary>Sets where a group without members goes on, of one partition or all; a group that is new is made. Durable on return.</summary>
    /// <exception cref="ClusterException">It has members, or there is no such topic or partition, or no such offset.</exception>
    public async Task ResetAsync(string group, string topic, int? partition, Func<IPartitionLog, ValueTask<long>> to)
    {
        TopicInfo known = TopicOf(topic);
        Names.CheckGroup(group);
        Dictionary<int, long> positions = [];
        foreach (int number in partition is { } one ? [one] : known.Partitions.Select(info => info.Number))
        {
            IPartitionLog log = _cluster.GetPartition(topic, number).Log;
            LogOffsets offsets = log.Offsets;
            long offset = await to(log).ConfigureAwait(false);
            positions[number] = offset >= offsets.Start && offset <= offsets.Durable
                ? offset
                : throw new ClusterException(ErrorCode.OffsetOutOfRange, $"{topic}/{number} has the offsets {offsets.Start} to {offsets.Durable}, not {offset}");
        }

        Task saved;
        lock (_lock)
        {
            CheckUnused(group, topic);
            saved = _positions.SetAsync(group, topic, positions);
        }

        await saved.ConfigureAwait(false);
    }

    /// <summary>Forgets what a group without members has read of a topic, or of all. Durable when the task completes.</summary>
    /// <exception cref="ClusterException">It has members, or is unknown.</exception>
    public async Task DeleteAsync(string group, string? topic)
    {
        string[] topics = [.. _positions.All.Where(one => one.Group == group && (topic is null || one.Topic == topic)).Select(one => one.Topic)];
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

    /// <summary>Of a partition that is closed, nothing but that it begins at 0 is known; who reads it is told why.</summary>
    private LogOffsets OffsetsOf(string topic, int number)
    {
        Partition partition = _cluster.GetPartition(topic, number);
        return partition.IsOpen ? partition.Log.Offsets : new LogOffsets(0, 0, long.MaxValue, long.MaxValue);
    }

    private void Share(ConsumerGroup group)
    {
        if (_cluster.Current.Topics.GetValueOrDefault(group.Topic) is { } topic)
            group.Share([.. topic.Partitions.Select(partition => partition.Number)], _time.GetTimestamp());
    }

    private Task ForgetTopicAsync(string topic)
    {
        lock (_lock)
        {
            foreach (ConsumerGroup group in _groups.Values.Where(group => group.Topic == topic).ToArray())
            {
                foreach (GroupMember member in group.Members)
                    member.End(new ClusterException(ErrorCode.TopicNotFound, $"topic '{topic}' was deleted"));
            }
        }

        return _positions.DeleteTopicAsync(topic);
    }

    /// <summary>Geo-locations bring partitions as they come.</summary>
    private async Task WatchAsync()
    {
        while (true)
        {
            TopologyMap known = _cluster.Current;
            lock (_lock)
            {
                foreach (ConsumerGroup group in _groups.Values)
                    Share(group);
            }

            await _cluster.WaitForChangeAsync(known, _stop.Token).ConfigureAwait(false);
        }
    }
}
