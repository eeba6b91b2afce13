using System.Collections.Immutable;
using EdgeStream.Cluster.Metadata;

namespace EdgeStream.Cluster.Groups;

/// <summary>
/// Keeps how far groups have read. Groups commit often and the metadata wears the card with each write, so the commits of all groups
/// that come within <see cref="WriteInterval"/> are one write. Safe from any thread.
/// </summary>
public sealed class PositionStore : IAsyncDisposable
{
    /// <summary>The least time between two writes. After a pause the next commit is written at once.</summary>
    public static readonly TimeSpan WriteInterval = TimeSpan.FromSeconds(1);

    // A group costs memory and a place in the metadata; a program that makes a name up each time must not fill them.
    private const int MaxGroups = 1000;

    private readonly IPositionStore _store;
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _stop = new();

    // Who writes to the disk, so that what was deleted is not written again. Taken before _lock.
    private readonly SemaphoreSlim _disk = new(1);

    // Guards all below.
    private readonly Lock _lock = new();
    private readonly SortedDictionary<(string Group, string Topic), GroupPositions> _positions;

    // What is not written, and who is told when it is; null where they were told that it could not be.
    private readonly Dictionary<(string Group, string Topic), TaskCompletionSource?> _dirty = [];
    private Task _writing = Task.CompletedTask;
    private bool _disposed;

    private PositionStore(IPositionStore store, IReadOnlyList<GroupPositions> known, TimeProvider time)
    {
        _store = store;
        _time = time;
        _positions = new(
            known.ToDictionary(positions => (positions.Group, positions.Topic)),
            Comparer<(string Group, string Topic)>.Create((a, b) =>
                string.CompareOrdinal(a.Group, b.Group) is not 0 and var order ? order : string.CompareOrdinal(a.Topic, b.Topic)));
    }

    /// <param name="store">Stays the caller's.</param>
    /// <param name="time">The clock.</param>
    public static async Task<PositionStore> OpenAsync(IPositionStore store, TimeProvider time) =>
        new(store, await store.LoadGroupPositionsAsync().ConfigureAwait(false), time);

    /// <summary>By group and topic; a snapshot.</summary>
    public IReadOnlyList<GroupPositions> All
    {
        get
        {
            lock (_lock)
                return [.. _positions.Values];
        }
    }

    /// <summary>Empty where the group is new to the topic.</summary>
    public ImmutableSortedDictionary<int, long> Find(string group, string topic)
    {
        lock (_lock)
            return _positions.GetValueOrDefault((group, topic))?.Offsets ?? ImmutableSortedDictionary<int, long>.Empty;
    }

    /// <summary>Sets positions, counts at once, and completes when they are durable.</summary>
    /// <param name="group">The group.</param>
    /// <param name="topic">What it reads.</param>
    /// <param name="offsets">By partition; those of others stay.</param>
    /// <param name="epoch">Of who coordinates the group here: another with a higher one wins, and its positions count then.</param>
    /// <exception cref="ClusterException">
    /// There are too many groups, and nothing was changed; or <see cref="ErrorCode.NotLeader"/>: another coordinates the group since.
    /// </exception>
    /// <exception cref="IOException">They could not be written. They count, and are written with the next that are set.</exception>
    public Task SetAsync(string group, string topic, IEnumerable<KeyValuePair<int, long>> offsets, long epoch = 0)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            var key = (group, topic);
            if (!_positions.TryGetValue(key, out GroupPositions? known))
            {
                if (_positions.Count >= MaxGroups)
                {
                    throw new ClusterException(
                        ErrorCode.InvalidArgument,
                        $"there are {MaxGroups} groups already, which is the most; 'edgestream consumer delete NAME' makes room");
                }

                known = new GroupPositions(group, topic, ImmutableSortedDictionary<int, long>.Empty);
            }

            _positions[key] = known with { Offsets = known.Offsets.SetItems(offsets), Epoch = epoch };
            TaskCompletionSource written = _dirty.GetValueOrDefault(key) ?? new(TaskCreationOptions.RunContinuationsAsynchronously);
            _dirty[key] = written;
            if (_writing.IsCompleted)
                _writing = Task.Run(WriteAllAsync);

            return written.Task;
        }
    }

    /// <summary>Durable when the task completes.</summary>
    /// <returns>Whether there was anything to forget.</returns>
    /// <exception cref="IOException">It could not be written; nothing was forgotten.</exception>
    public async Task<bool> DeleteAsync(string group, string topic)
    {
        await _disk.WaitAsync().ConfigureAwait(false);
        try
        {
            lock (_lock)
            {
                if (!_positions.ContainsKey((group, topic)))
                    return false;
            }

            await _store.DeleteGroupPositionsAsync(group, topic).ConfigureAwait(false);
            lock (_lock)
            {
                _dirty.Remove((group, topic));
                return _positions.Remove((group, topic));
            }
        }
        finally
        {
            _disk.Release();
        }
    }

    /// <summary>Of all groups, what they have read of a topic. Durable when the task completes.</summary>
    public async Task DeleteTopicAsync(string topic)
    {
        foreach (GroupPositions positions in All.Where(positions => positions.Topic == topic))
            await DeleteAsync(positions.Group, topic).ConfigureAwait(false);
    }

    /// <summary>Takes what is stored of some topics for what is known: another node may have written it.</summary>
    /// <exception cref="Storage.EdgeStreamException">It cannot be read now; nothing was changed.</exception>
    public async Task ReloadAsync(IReadOnlySet<string> topics)
    {
        await _disk.WaitAsync().ConfigureAwait(false);
        try
        {
            IReadOnlyList<GroupPositions> stored = await _store.LoadGroupPositionsAsync().ConfigureAwait(false);
            lock (_lock)
            {
                foreach ((string Group, string Topic) key in _positions.Keys.Where(key => topics.Contains(key.Topic)).ToArray())
                    _positions.Remove(key);

                foreach (GroupPositions positions in stored.Where(positions => topics.Contains(positions.Topic)))
                    _positions[(positions.Group, positions.Topic)] = positions;

                // What was to be written of them was so by a coordinator that has lost its place since.
                foreach ((string Group, string Topic) key in _dirty.Keys.Where(key => !_positions.ContainsKey(key)).ToArray())
                {
                    _dirty.Remove(key, out TaskCompletionSource? waiting);
                    waiting?.TrySetException(ClusterException.NotLeader($"group '{key.Group}' was deleted, or another SPU coordinates it; join it anew"));
                }
            }
        }
        finally
        {
            _disk.Release();
        }
    }

    /// <summary>Writes what is not written yet.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (_lock)
            _disposed = true;

        await _stop.CancelAsync().ConfigureAwait(false);
        await _writing.ConfigureAwait(false);
        _stop.Dispose();
        _disk.Dispose();
    }

    private async Task WriteAllAsync()
    {
        while (await TryWriteAsync().ConfigureAwait(false))
            await Task.Delay(WriteInterval, _time, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>False where there was nothing to write, or it could not be: then the next commit tries again.</summary>
    private async Task<bool> TryWriteAsync()
    {
        await _disk.WaitAsync().ConfigureAwait(false);
        try
        {
            Dictionary<(string Group, string Topic), TaskCompletionSource?> written;
            GroupPositions[] positions;
            lock (_lock)
            {
                if (_dirty.Count == 0)
                {
                    _writing = Task.CompletedTask;
                    return false;
                }

                written = new(_dirty);
                positions = [.. written.Keys.Select(key => _positions[key])];
                _dirty.Clear();
            }

            try
            {
                foreach (GroupPositions newer in await _store.SaveGroupPositionsAsync(positions).ConfigureAwait(false))
                    GiveWay(newer, written);

                foreach (TaskCompletionSource? waiting in written.Values)
                    waiting?.TrySetResult();

                return true;
            }
            catch (Exception error)
            {
                lock (_lock)
                {
                    foreach ((string Group, string Topic) key in written.Keys)
                        _dirty.TryAdd(key, null);

                    _writing = Task.CompletedTask;
                }

                foreach (TaskCompletionSource? waiting in written.Values)
                    waiting?.SetException(error);

                return false;
            }
        }
        finally
        {
            _disk.Release();
        }
    }

    /// <summary>Another coordinates the group since: what it has written counts, and nothing of ours is written over it.</summary>
    private void GiveWay(GroupPositions newer, Dictionary<(string Group, string Topic), TaskCompletionSource?> written)
    {
        var key = (newer.Group, newer.Topic);
        TaskCompletionSource? late;
        lock (_lock)
        {
            _positions[key] = newer;
            _dirty.Remove(key, out late);
        }

        foreach (TaskCompletionSource? waiting in (TaskCompletionSource?[])[written[key], late])
            waiting?.TrySetException(ClusterException.NotLeader($"group '{newer.Group}' of '{newer.Topic}' is coordinated by another SPU since; ask there"));
    }
}
