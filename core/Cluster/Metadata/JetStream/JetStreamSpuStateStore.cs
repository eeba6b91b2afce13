using System.Collections.Concurrent;
using System.Collections.Immutable;
using EdgeStream.Cluster.Groups;
using EdgeStream.Cluster.Nats;
using Google.Protobuf;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Cluster.Metadata.JetStream;

/// <summary>
/// What the SPUs of a cluster write without their SC: start tokens of geo-locations, positions of groups. Any of them may write any key;
/// each write expects the key's revision, so none writes over what it does not know. Safe from any thread.
/// </summary>
/// <remarks>
/// Positions lie in the state bucket. Start tokens have a bucket of their own, where a write also expects the revision of all keys: two
/// copies of a card may well come to two SPUs at once, which one key's revision does not tell apart on all servers
/// (<see cref="KeyValueBucket.TryWriteAsync"/>). Of positions the next write would find it out, and all that comes of it is that records
/// are given once more.
/// </remarks>
public sealed class JetStreamSpuStateStore : IStartTokenStore, IPositionStore, IAsyncDisposable
{
    private const string GroupPrefix = "group.";

    private readonly JetStreamOptions _options;
    private readonly JetStreamServers _servers;
    private readonly StateBucket _bucket;
    private readonly KeyValueBucket _tokens;

    // One after the other here: each would make the one beside it start again.
    private readonly SemaphoreSlim _updating = new(1);
    private readonly ConcurrentDictionary<string, long> _revisions = new(StringComparer.Ordinal);

    /// <param name="options">Where the servers are, and how many of them are to keep it.</param>
    /// <param name="clusterId">Whose.</param>
    /// <param name="logger">Told what becomes of the connection.</param>
    public JetStreamSpuStateStore(JetStreamOptions options, string clusterId, ILogger logger)
    {
        _options = options;
        _servers = new JetStreamServers(options, logger);
        _bucket = new StateBucket(_servers, clusterId);
        _tokens = new KeyValueBucket(_servers, $"{ClusterPrefix.Of(clusterId)}-tokens", $"EdgeStream {clusterId} start tokens");
    }

    /// <inheritdoc/>
    /// <exception cref="ClusterException">The servers do not answer.</exception>
    public async Task<StartTokens?> FindStartTokensAsync(string geoLocation)
    {
        await EnsureAsync(_tokens).ConfigureAwait(false);
        return ToTokens((await _tokens.ReadAsync(KeyValueBucket.PartOf(geoLocation)).ConfigureAwait(false)).Value);
    }

    /// <inheritdoc/>
    /// <exception cref="ClusterException">The servers do not answer: then the tokens may be written or not.</exception>
    public async Task UpdateStartTokensAsync(string geoLocation, Func<StartTokens?, StartTokens?> decide)
    {
        await EnsureAsync(_tokens).ConfigureAwait(false);
        string key = KeyValueBucket.PartOf(geoLocation);
        await _updating.WaitAsync().ConfigureAwait(false);
        try
        {
            while (true)
            {
                long last = await _tokens.FindLastRevisionAsync().ConfigureAwait(false);
                (ReadOnlyMemory<byte> value, long revision) = await _tokens.ReadAsync(key).ConfigureAwait(false);
                StartTokens? known = ToTokens(value), decided = decide(known);
                if (ReferenceEquals(decided, known)
                    || await _tokens.TryWriteAsync(key, ToBytes(decided), revision, last).ConfigureAwait(false) is not null)
                {
                    return;
                }
            }
        }
        finally
        {
            _updating.Release();
        }
    }

    /// <inheritdoc/>
    /// <exception cref="ClusterException">The servers do not answer.</exception>
    public async Task<IReadOnlyList<GroupPositions>> LoadGroupPositionsAsync()
    {
        await EnsureAsync(_bucket).ConfigureAwait(false);
        List<GroupPositions> all = [];
        foreach ((ReadOnlyMemory<byte> value, long revision) in await _bucket.ReadAllAsync(GroupPrefix).ConfigureAwait(false))
        {
            GroupPositions positions = ToPositions(value);
            _revisions[GroupKey(positions.Group, positions.Topic)] = revision;
            all.Add(positions);
        }

        return all;
    }

    /// <inheritdoc/>
    /// <exception cref="ClusterException">The servers do not answer.</exception>
    public async Task<IReadOnlyList<GroupPositions>> SaveGroupPositionsAsync(IReadOnlyCollection<GroupPositions> positions)
    {
        await EnsureAsync(_bucket).ConfigureAwait(false);
        GroupPositions?[] newer = await Task.WhenAll(positions.Select(SaveAsync)).ConfigureAwait(false);
        return [.. newer.OfType<GroupPositions>()];
    }

    /// <inheritdoc/>
    /// <exception cref="ClusterException">The servers do not answer.</exception>
    public async Task DeleteGroupPositionsAsync(string group, string topic)
    {
        await EnsureAsync(_bucket).ConfigureAwait(false);
        string key = GroupKey(group, topic);
        while (true)
        {
            (ReadOnlyMemory<byte> value, long revision) = await _bucket.ReadAsync(key).ConfigureAwait(false);
            if (value.IsEmpty || await _bucket.TryWriteAsync(key, [], revision).ConfigureAwait(false) is not null)
                break;
        }

        _revisions.TryRemove(key, out _);
    }

    public async ValueTask DisposeAsync()
    {
        await _servers.DisposeAsync().ConfigureAwait(false);
        _bucket.Dispose();
        _tokens.Dispose();
        _updating.Dispose();
    }

    private static string GroupKey(string group, string topic) => $"{GroupPrefix}{KeyValueBucket.PartOf(group)}.{KeyValueBucket.PartOf(topic)}";

    private static byte[] ToBytes(StartTokens? tokens)
    {
        if (tokens is null)
            return [];

        var message = new V1.StoredStartTokens { Pending = { tokens.Pending }, Given = tokens.Given };
        if (tokens.Current is { } current)
            message.Current = current;

        return message.ToByteArray();
    }

    private static StartTokens? ToTokens(ReadOnlyMemory<byte> value)
    {
        if (value.IsEmpty)
            return null;

        V1.StoredStartTokens message = V1.StoredStartTokens.Parser.ParseFrom(value.Span);
        return new StartTokens(message.HasCurrent ? message.Current : null, [.. message.Pending], message.Given);
    }

    private static byte[] ToBytes(GroupPositions positions) => new V1.StoredGroupPositions
    {
        Group = positions.Group,
        Topic = positions.Topic,
        Offsets = { positions.Offsets },
        Epoch = positions.Epoch,
    }.ToByteArray();

    private static GroupPositions ToPositions(ReadOnlyMemory<byte> value)
    {
        V1.StoredGroupPositions message = V1.StoredGroupPositions.Parser.ParseFrom(value.Span);
        return new GroupPositions(message.Group, message.Topic, message.Offsets.ToImmutableSortedDictionary(), message.Epoch);
    }

    private async ValueTask EnsureAsync(KeyValueBucket bucket)
    {
        await _servers.EnsureReadyAsync().ConfigureAwait(false);
        await bucket.EnsureAsync(_options.Replicas).ConfigureAwait(false);
    }

    /// <summary>Null, or what a newer coordinator has written.</summary>
    private async Task<GroupPositions?> SaveAsync(GroupPositions positions)
    {
        string key = GroupKey(positions.Group, positions.Topic);
        while (true)
        {
            if (await _bucket.TryWriteAsync(key, ToBytes(positions), _revisions.GetValueOrDefault(key)).ConfigureAwait(false) is { } written)
            {
                _revisions[key] = written;
                return null;
            }

            (ReadOnlyMemory<byte> value, long revision) = await _bucket.ReadAsync(key).ConfigureAwait(false);
            _revisions[key] = revision;
            if (value.IsEmpty)
                continue;

            GroupPositions stored = ToPositions(value);
            if (stored.Epoch > positions.Epoch)
                return stored;

            // What an older one knew of partitions that this one does not.
            positions = positions with { Offsets = stored.Offsets.SetItems(positions.Offsets) };
        }
    }
}
