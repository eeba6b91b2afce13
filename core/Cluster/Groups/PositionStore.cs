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
    private readonly HashSet<(string Group, string Topic)> _dirty = [];
    private TaskCompletionSource _next = new(TaskCreationOptions.RunContinuationsAsynchronously);
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
    /// <exception cref="ClusterException">There are too many groups; nothing was changed.</exception>
    /// <exception cref="IOException">They could not be written. They count, and are written with the next that are set.</exception>
    public Task SetAsync(string group, string topic, IEnumerable<KeyValuePair<int, long>> offsets)
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

            _positions[key] = known with { Offsets = known.Offsets.SetItems(offsets) };
            _dirty.Add(key);
            if (_writing.IsCompleted)
                _writing = Task.Run(WriteAllAsync);

            return _next.Task;
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
                _dirty.RemoveWhere(key => !_positions.ContainsKey(key));
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
            TaskCompletionSource written;
            (string Group, string Topic)[] keys;
            GroupPositions[] positions;
            lock (_lock)
            {
                keys = [.. _dirty];
                if (keys.Length == 0)
                {
                    _writing = Task.CompletedTask;
                    return false;
                }

                positions = [.. keys.Select(key => _positions[key])];
                _dirty.Clear();
                (written, _next) = (_next, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
            }

            try
            {
                await _store.SaveGroupPositionsAsync(positions).ConfigureAwait(false);
                written.SetResult();
                return true;
            }
            catch (Exception error)
            {
                lock (_lock)
                {
                    _dirty.UnionWith(keys);
                    _writing = Task.CompletedTask;
                }

                written.SetException(error);
                return false;
            }
        }
        finally
        {
            _disk.Release();
        }
    }
}
