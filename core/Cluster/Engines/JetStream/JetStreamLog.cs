using System.Text.Json;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Time;
using Microsoft.Extensions.Logging;
using NATS.Client.JetStream;
using NATS.Client.JetStream.Models;

namespace EdgeStream.Cluster.Engines.JetStream;

/// <summary>
/// One partition as a stream of NATS JetStream: each message carries whole record batches, verbatim, with EdgeStream's offsets in them; a
/// stream's sequence is no offset. Safe from any thread.
/// </summary>
/// <remarks>
/// <para>
/// One writer, by fencing: every message says which sequence it expects to follow, so of two writers one is refused, whatever either
/// believes. Who opens the log writes an epoch first: from then on all that an earlier writer still has on its way is refused, even if
/// that one was only frozen. The writer that is refused fails (<see cref="Failure"/>), and its callers are told to try again.
/// </para>
/// <para>
/// The way of a batch: callers queue → the writer gathers what waits into one message, gives the offsets, and sends it once the one before
/// is stored (group commit; why not earlier, <see cref="MaxOnTheWay"/> says) → the servers acknowledge once a majority of the replicas has it → <c>Durable</c>
/// moves, readers wake, callers are told. An acknowledgement that does not come is never guessed: an epoch is written, which settles what
/// of the messages on their way is in the stream and what never will be; the latter are sent again, the same bytes at the same offsets.
/// </para>
/// <para>
/// Partials: <c>.Open</c> finds the end and takes the place, <c>.Append</c> is the writer, <c>.Settle</c> deals with what was not
/// acknowledged, <c>.Read</c> looks up, <c>.Maintain</c> keeps what lies beside the records and drops what is too old.
/// </para>
/// </remarks>
internal sealed partial class JetStreamLog : IPartitionLog
{
    private readonly PartitionId _id;
    private readonly StreamNames _names;
    private readonly JetStreamServers _servers;
    private readonly JetStreamOptions _options;
    private readonly ILogger _logger;
    private readonly TimeProvider _time;
    private readonly SequenceIndex _index = new();
    private readonly OffsetWatermark _durable;
    private readonly OffsetWatermark _mirrored;
    private readonly StateEntry _settingsEntry;
    private readonly StateEntry _gapsEntry;
    private readonly StateEntry _clockEntry;
    private readonly StateEntry _mirroredEntry;
    private readonly AnchorMemory _anchors;
    private readonly Guid _writerId;

    private volatile Exception? _failure;
    private volatile string? _fullReason;
    private volatile LogSettings _settings;
    private volatile int _replicas;
    private KnownGaps _gaps;
    private long _start;
    private long _firstSequence;
    private long _lastSequence;
    private long _storedBytes;
    private long _appendedBytes;
    private int _disposed;

    public PartitionManifest Manifest { get; private set; }

    public LogSettings Settings => _settings;

    public LogClock Clock { get; }

    public Exception? Failure => _failure;

    public string? Problem => _failure?.Message ?? _fullReason;

    /// <summary>What waits here waits for other machines: no reason to start this process anew.</summary>
    public TimeSpan BusyFor => TimeSpan.Zero;

    public long AppendedBytes => Interlocked.Read(ref _appendedBytes);

    public IReadOnlyList<Gap> Gaps => Volatile.Read(ref _gaps).AsList();

    public long StartOffset => Volatile.Read(ref _start);

    public LogOffsets Offsets
    {
        get
        {
            // Nothing is readable, or has its offset for good, before it is durable: so that is where the log ends.
            long start = StartOffset, mirrored = _mirrored.Value, durable = _durable.Value;
            return new LogOffsets(start, Math.Clamp(mirrored, start, durable), durable, durable);
        }
    }

    public Gap? FindGap(long offset)
    {
        KnownGaps known = Volatile.Read(ref _gaps);
        int at = known.FirstEndingAtOrBehind(offset);
        return at < known.Count && known[at].First <= offset ? known[at] : null;
    }

    public long SizeInBytes() => Interlocked.Read(ref _storedBytes);

    /// <summary>By the share of the offsets: the servers do not say it, and nothing that is decided depends on it.</summary>
    public long BytesFrom(long offset)
    {
        LogOffsets offsets = Offsets;
        if (offset < offsets.Start || offset > offsets.End)
            throw new OffsetOutOfRangeException(offset, offsets.Start, offsets.End);

        return offset == offsets.End ? 0 : (long)(SizeInBytes() * ((double)(offsets.End - offset) / (offsets.End - offsets.Start)));
    }

    public long LostRecordsFrom(long offset) => Gaps.Where(gap => gap.Last >= offset).Sum(gap => gap.Last - Math.Max(gap.First, offset) + 1);

    public ValueTask WaitForDurableAsync(long offset, CancellationToken cancellationToken) => _durable.WaitForAsync(offset, cancellationToken);

    public void SetMirrored(long offset) => _mirrored.Advance(Math.Min(offset, _durable.Value));

    public async ValueTask ChangeSettingsAsync(LogSettings settings)
    {
        await ReconfigureAsync(settings, _replicas).ConfigureAwait(false);
        _settings = settings;
    }

    /// <summary>At how many servers the stream is to be.</summary>
    public int Replicas => _replicas;

    /// <summary>
    /// Has the stream at so many servers from now on. Those that come get its messages beside what goes on; until they
    /// have, fewer may fail.
    /// </summary>
    /// <exception cref="ClusterException">The servers do not answer, or refuse it; it stays as it was.</exception>
    public async ValueTask ChangeReplicasAsync(int replicas)
    {
        await ReconfigureAsync(_settings, replicas).ConfigureAwait(false);
        _replicas = replicas;
    }

    public async ValueTask<IReadOnlyList<ReplicaState>> FindReplicasAsync(CancellationToken cancellationToken)
    {
        try
        {
            // A server alone has a cluster without a name.
            if (await _servers.FindStreamAsync(_names.Stream, cancellationToken).ConfigureAwait(false) is not { Cluster: { Name.Length: > 0 } cluster })
                return [];

            IEnumerable<ReplicaState> followers = (cluster.Replicas ?? []).OrderBy(peer => peer.Name, StringComparer.Ordinal)
                .Select(peer => new ReplicaState(peer.Name ?? "", IsLeader: false, peer.Current, (long)peer.Lag, peer.Active));
            return [.. cluster.Leader is { Length: > 0 } leader ? [new ReplicaState(leader, true, true, 0, TimeSpan.Zero)] : (ReplicaState[])[], .. followers];
        }
        catch (EdgeStreamException)
        {
            return [];
        }
    }

    public async ValueTask SaveSettingsAsync(IReadOnlyDictionary<string, string?> changes)
    {
        var settings = new Dictionary<string, string>(Manifest.Settings);
        foreach ((string name, string? value) in changes)
        {
            if (value is null)
                settings.Remove(name);
            else
                settings[name] = value;
        }

        byte[] json = JsonSerializer.SerializeToUtf8Bytes(settings, StateJson.Default.DictionaryStringString);
        await SaveAsync(_settingsEntry, json, _ => json).ConfigureAwait(false);
        Manifest = Manifest with { Settings = settings };
    }

    /// <summary>Sends what was accepted, as far as the servers answer soon, ends all waits, and keeps what lies beside the records.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;

        var closed = new LogClosedException(_id.ToString());
        _pendingBytes.Close(closed);
        _appends.Writer.TryComplete();
        await _writing.ConfigureAwait(false);
        await _acknowledging.ConfigureAwait(false);
        _durable.Fail(closed);
        _mirrored.Fail(closed);
        try
        {
            if (_failure is null)
                await SaveStateAsync().ConfigureAwait(false);
        }
        catch (EdgeStreamException unreachable)
        {
            _logger.LogWarning("{Partition}: what was noted of gaps and clocks last is not kept: {Problem}", _id, unreachable.Message);
        }
    }

    private async Task ReconfigureAsync(LogSettings settings, int replicas)
    {
        await FindOwnAsync().ConfigureAwait(false);
        try
        {
            await _servers.UpdateStreamAsync(ConfigOf(_names, Manifest, settings, replicas)).ConfigureAwait(false);
        }
        catch (NatsJSApiException many) when (JetStreamErrors.IsTooManyReplicas(many.Error.ErrCode))
        {
            throw JetStreamErrors.TooManyReplicas(replicas, many);
        }
        catch (NatsJSApiException refusal)
        {
            throw new ClusterException(ErrorCode.StorageFailed, $"NATS refuses the settings of the stream '{_names.Stream}': {refusal.Message}");
        }
    }

    /// <summary>Stops the log for good: callers, those to come included, get the error. It may be opened anew.</summary>
    private Exception Fail(string problem)
    {
        var failure = new ClusterException(ErrorCode.Unavailable, $"{_id}: {problem}; try again");
        _failure ??= failure;
        _pendingBytes.Close(_failure);
        _appends.Writer.TryComplete();
        _durable.Fail(_failure);
        _mirrored.Fail(_failure);
        return _failure;
    }
}
