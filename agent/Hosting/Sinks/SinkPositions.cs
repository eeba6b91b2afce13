using System.Text.Json;
using System.Text.Json.Serialization;
using EdgeStream.Storage.Files;

namespace EdgeStream.Agent.Hosting.Sinks;

/// <summary>How far a sink is in one partition.</summary>
/// <param name="Partition">Its number.</param>
/// <param name="Incarnation">Of the log that the offset is one of; in another log it means nothing.</param>
/// <param name="Offset">The first record that is not done.</param>
internal sealed record SinkPosition(int Partition, Guid Incarnation, long Offset);

/// <summary>How far one sink is in its topic.</summary>
internal sealed record SinkState(string Sink, string Topic, IReadOnlyList<SinkPosition> Positions);

/// <summary>
/// Where each sink of a node goes on, in one small file that is written once a second at most, and at the end: what a sink has done
/// within the last second before a power cut, it does again. Safe from any thread.
/// </summary>
internal sealed class SinkPositions : IAsyncDisposable
{
    public const string FileName = "sinks.json";

    private static readonly TimeSpan SaveInterval = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private readonly Lock _saving = new();
    private readonly Dictionary<(string Sink, string Topic), Dictionary<int, SinkPosition>> _sinks = [];
    private readonly IStorageFiles _files;
    private readonly string _path;
    private readonly TimeProvider _time;
    private readonly ILogger<SinkPositions> _logger;
    private readonly CancellationTokenSource _stop = new();
    private Task _running = Task.CompletedTask;
    private bool _isDirty;
    private bool _isRunning;
    private bool _failed;
    private int _disposed;

    private SinkPositions(IStorageFiles files, string path, TimeProvider time, ILogger<SinkPositions> logger)
    {
        _files = files;
        _path = path;
        _time = time;
        _logger = logger;
        Load();
    }

    /// <summary>Reads the file. One that cannot be read is set aside: the sinks count as new ones then.</summary>
    public static SinkPositions Open(IStorageFiles files, string dataDirectory, TimeProvider time, ILogger<SinkPositions> logger) =>
        new(files, Path.Combine(dataDirectory, FileName), time, logger);

    /// <summary>
    /// Takes note of the sinks that there are, durably; others are forgotten. One that was not known before begins where
    /// <paramref name="ends"/> says, and of whatever comes later at its beginning.
    /// </summary>
    /// <param name="sinks">Names and topics.</param>
    /// <param name="ends">Where the partitions of a topic end that are there already.</param>
    public void Begin(IReadOnlyCollection<(string Sink, string Topic)> sinks, Func<string, IEnumerable<SinkPosition>> ends)
    {
        lock (_lock)
        {
            foreach ((string, string) gone in _sinks.Keys.Except(sinks).ToArray())
                _isDirty |= _sinks.Remove(gone);

            foreach ((string sink, string topic) in sinks.Where(sink => !_sinks.ContainsKey(sink)))
            {
                _sinks[(sink, topic)] = ends(topic).ToDictionary(position => position.Partition);
                _isDirty = true;
            }
        }

        SaveWhereDirty();
        lock (_lock)
        {
            if (_isDirty)
                SaveSoon();
        }
    }

    /// <summary>Where a sink goes on; null where it has done nothing of this log yet.</summary>
    public long? Find(string sink, string topic, int partition, Guid incarnation)
    {
        lock (_lock)
        {
            return _sinks.TryGetValue((sink, topic), out Dictionary<int, SinkPosition>? positions)
                && positions.TryGetValue(partition, out SinkPosition? known) && known.Incarnation == incarnation ? known.Offset : null;
        }
    }

    public void Set(string sink, string topic, SinkPosition position)
    {
        lock (_lock)
        {
            if (!_sinks.TryGetValue((sink, topic), out Dictionary<int, SinkPosition>? positions))
                _sinks[(sink, topic)] = positions = [];

            positions[position.Partition] = position;
            _isDirty = true;
            SaveSoon();
        }
    }

    /// <summary>Saves what was not saved yet.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;

        await _stop.CancelAsync().ConfigureAwait(false);
        Task running;
        lock (_lock)
            running = _running;

        await running.ConfigureAwait(false);
        SaveWhereDirty();
        _stop.Dispose();
    }

    private void Load()
    {
        byte[]? contents = SmallFile.TryRead(_files, _path);
        try
        {
            SinkState[] states = contents is null ? [] : JsonSerializer.Deserialize(contents, SinkJson.Default.SinkStateArray) ?? [];
            foreach (SinkState state in states)
                _sinks[(state.Sink, state.Topic)] = state.Positions.ToDictionary(position => position.Partition);
        }
        catch (Exception damage) when (damage is JsonException or ArgumentException)
        {
            _sinks.Clear();
            _files.Rename(_path, _path + ".broken");
            _logger.LogError("'{Path}' cannot be read and was set aside; sinks begin with what comes from now on", _path);
        }
    }

    /// <summary>Under the lock. Nothing runs while there is nothing to save: most nodes have no sink, or one that rarely acts.</summary>
    private void SaveSoon()
    {
        if (_isRunning || Volatile.Read(ref _disposed) != 0)
            return;

        _isRunning = true;
        _running = SaveWhileDirtyAsync();
    }

    private async Task SaveWhileDirtyAsync()
    {
        bool again = true;
        while (again)
        {
            await Task.Delay(SaveInterval, _time, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            SaveWhereDirty();
            lock (_lock)
                _isRunning = again = _isDirty && !_stop.IsCancellationRequested;
        }
    }

    /// <summary>A disk that does not take it costs repetitions after a restart, and nothing else: it is told once, and tried again.</summary>
    private void SaveWhereDirty()
    {
        lock (_saving)
        {
            SinkState[] states;
            lock (_lock)
            {
                if (!_isDirty)
                    return;

                _isDirty = false;
                states = [.. _sinks.Select(sink => new SinkState(sink.Key.Sink, sink.Key.Topic, [.. sink.Value.Values]))];
            }

            try
            {
                SmallFile.Replace(_files, _path, JsonSerializer.SerializeToUtf8Bytes(states, SinkJson.Default.SinkStateArray));
                _failed = false;
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                if (!_failed)
                {
                    _logger.LogError(
                        "how far the sinks are cannot be kept: {Problem}; after a restart they do again what they have done since", error.Message);
                }

                _failed = true;
                lock (_lock)
                    _isDirty = true;
            }
        }
    }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true, RespectNullableAnnotations = true)]
[JsonSerializable(typeof(SinkState[]))]
internal sealed partial class SinkJson : JsonSerializerContext;
