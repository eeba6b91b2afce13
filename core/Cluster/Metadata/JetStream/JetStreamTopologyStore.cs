using System.Buffers;
using System.Collections.Immutable;
using System.Diagnostics;
using System.Globalization;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using Google.Protobuf;
using Microsoft.Extensions.Logging;
using NATS.Client.Core;
using NATS.Client.JetStream.Models;

namespace EdgeStream.Cluster.Metadata.JetStream;

/// <summary>
/// The topology of a cluster in a key-value bucket of NATS JetStream, <c>edgestream-NAME-meta</c>, written by the active SC only. All of it
/// is in memory. Safe from any thread.
/// </summary>
/// <remarks>
/// Each write expects the stream's last sequence to be that of the write before it, so the bucket is one history with one writer at a time:
/// whoever opens it ends what another still has on its way. Each message also says what all of them come to, so that a load is known to be
/// whole (<see cref="TopologyReading"/>). What others than SCs write there is passed over, and where it has taken the place of a value of
/// this SC's, that is written again.
/// </remarks>
public sealed partial class JetStreamTopologyStore : IClusterTopologyStore, IAsyncDisposable
{
    private static readonly TimeSpan RetryAfter = TimeSpan.FromMilliseconds(100);

    private readonly JetStreamOptions _options;
    private readonly string _writer;
    private readonly ILogger _logger;
    private readonly JetStreamServers _servers;
    private readonly KeyValueBucket _bucket;
    private readonly CancellationTokenSource _superseded = new();

    // Not disposed of: who still writes at the end gives it back, and those behind get to know that it is over.
    private readonly SemaphoreSlim _writing = new(1);

    // Replaced with each write, and read at any time.
    private volatile ImmutableSortedDictionary<string, TopologyEntry> _entries = ImmutableSortedDictionary.Create<string, TopologyEntry>(StringComparer.Ordinal);

    // Who writes owns these. First: keys of this SC's that others have written since, and that it writes again.
    private readonly HashSet<string> _overwritten = new(StringComparer.Ordinal);
    private long _last;
    private long _sum;
    private TopologySupersededException? _problem;
    private long _term;

    private JetStreamTopologyStore(JetStreamOptions options, string cluster, string writer, ILogger logger)
    {
        (_options, _writer, _logger) = (options, writer, logger);
        _servers = new JetStreamServers(options, logger);
        _bucket = new KeyValueBucket(_servers, $"edgestream-{cluster}-meta", $"EdgeStream {cluster} topology");
    }

    /// <inheritdoc/>
    public string ClusterId => V1.StoredCluster.Parser.ParseFrom(_entries[TopologyKeys.Cluster].Value.Span).Id;

    /// <inheritdoc/>
    public long Term => Interlocked.Read(ref _term);

    /// <summary>The sequence of its last write.</summary>
    public long Written => _last;

    /// <summary>Cancelled with the first <see cref="TopologySupersededException"/>.</summary>
    public CancellationToken Superseded => _superseded.Token;

    /// <inheritdoc/>
    public long NextEpoch => _last + 1 + EpochsAhead;

    // Each write makes the next epoch greater by one at least; what was found greater still lies in between for ever.
    private long EpochsAhead => _entries.TryGetValue(TopologyKeys.Epochs, out TopologyEntry entry) ? V1.StoredEpochs.Parser.ParseFrom(entry.Value.Span).Ahead : 0;

    /// <summary>Makes the bucket where there is none, takes it over from whoever has written it, and loads all of it.</summary>
    /// <param name="options">Where the servers are, and how many of them are to keep it.</param>
    /// <param name="cluster">The cluster's name.</param>
    /// <param name="writer">The SC's name, for people.</param>
    /// <param name="logger">Told what becomes of the connection, and what is not as an SC has left it.</param>
    /// <param name="acceptsLoss">Whether to take what is left where some of it is lost or overwritten.</param>
    /// <param name="written">What <see cref="Written"/> was when this SC had it open before: told where that is lost.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="ClusterException">
    /// The servers do not answer now, or the bucket is another's. <see cref="ErrorCode.StorageFailed"/>: it is not as an SC has left it.
    /// </exception>
    public static async Task<JetStreamTopologyStore> OpenAsync(
        JetStreamOptions options, string cluster, string writer, ILogger logger, bool acceptsLoss = false, long written = 0,
        CancellationToken cancellationToken = default)
    {
        var store = new JetStreamTopologyStore(options, cluster, writer, logger);
        try
        {
            await store._servers.EnsureReadyAsync().ConfigureAwait(false);
            await store._bucket.EnsureAsync(options.Replicas).ConfigureAwait(false);
            while (!await store.TryTakeOverAsync(acceptsLoss, written, cancellationToken).ConfigureAwait(false))
                cancellationToken.ThrowIfCancellationRequested();

            return store;
        }
        catch
        {
            await store.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary><see cref="LoadAuthority"/> for one that does not write: takes nothing over.</summary>
    /// <exception cref="ClusterException">The servers do not answer now, or the bucket is another's.</exception>
    public static async Task<string?> FindAuthorityAsync(JetStreamOptions options, string cluster, ILogger logger)
    {
        await using var store = new JetStreamTopologyStore(options, cluster, writer: "", logger);
        await store._servers.EnsureReadyAsync().ConfigureAwait(false);
        if (!await store._bucket.ExistsAsync().ConfigureAwait(false))
            return null;

        return await store._servers.FindLastAsync(store._bucket.Stream, store._bucket.SubjectOf(TopologyKeys.Authority)).ConfigureAwait(false) is { } found
            && TopologyReading.IsOwn(found) ? V1.StoredAuthority.Parser.ParseFrom(found.Data.Span).Fingerprint : null;
    }

    /// <inheritdoc/>
    public IReadOnlyList<TopicInfo> LoadTopics() => LoadTopics(deleted: false);

    /// <inheritdoc/>
    public Task SaveTopicAsync(TopicInfo topic) => SaveAsync(TopologyKeys.OfTopic(topic.Name), StoredMessages.ToMessage(topic));

    /// <inheritdoc/>
    public Task DeleteTopicAsync(string name) => SaveAsync(TopologyKeys.OfTopic(name), null);

    /// <inheritdoc/>
    public IReadOnlyList<TopicInfo> LoadDeletedTopics() => LoadTopics(deleted: true);

    /// <inheritdoc/>
    public Task SaveDeletedTopicAsync(TopicInfo topic)
    {
        V1.StoredTopic message = StoredMessages.ToMessage(topic);
        message.Deleted = true;
        return SaveAsync(TopologyKeys.OfTopic(topic.Name), message);
    }

    /// <inheritdoc/>
    public IReadOnlyList<GeoLocationInfo> LoadGeoLocations() =>
        [.. ValuesOf(TopologyKeys.GeoLocations).Select(value => StoredMessages.FromMessage(V1.StoredGeoLocation.Parser.ParseFrom(value.Span)))];

    /// <inheritdoc/>
    public Task SaveGeoLocationAsync(GeoLocationInfo geoLocation) =>
        SaveAsync(TopologyKeys.OfGeoLocation(geoLocation.Name), StoredMessages.ToMessage(geoLocation));

    /// <inheritdoc/>
    public IReadOnlyList<SpuInfo> LoadSpus() =>
        [.. ValuesOf(TopologyKeys.Spus).Select(value => StoredMessages.FromMessage(V1.StoredSpu.Parser.ParseFrom(value.Span)))];

    /// <inheritdoc/>
    public Task SaveSpuAsync(SpuInfo spu) => SaveAsync(TopologyKeys.OfSpu(spu.Id), StoredMessages.ToMessage(spu));

    /// <inheritdoc/>
    public Task DeleteSpuAsync(int id) => SaveAsync(TopologyKeys.OfSpu(id), null);

    /// <inheritdoc/>
    public IReadOnlyList<string> LoadRevokedNames() =>
        [.. ValuesOf(TopologyKeys.RevokedNames).Select(value => V1.StoredRevokedName.Parser.ParseFrom(value.Span).Name)];

    /// <inheritdoc/>
    public Task SaveRevokedNameAsync(string name) =>
        SaveAsync(TopologyKeys.OfRevokedName(name), new V1.StoredRevokedName { Name = name });

    /// <summary>The fingerprint of the CA that the SCs of the cluster have; null where none has said it yet.</summary>
    public string? LoadAuthority() => _entries.TryGetValue(TopologyKeys.Authority, out TopologyEntry entry) ? V1.StoredAuthority.Parser.ParseFrom(entry.Value.Span).Fingerprint : null;

    public Task SaveAuthorityAsync(string fingerprint) => SaveAsync(TopologyKeys.Authority, new V1.StoredAuthority { Fingerprint = fingerprint });

    /// <inheritdoc/>
    public Task RaiseNextEpochAsync(long found) => found < NextEpoch
        ? Task.CompletedTask
        : SaveAsync(TopologyKeys.Epochs, new V1.StoredEpochs { Ahead = EpochsAhead + found + 1 - NextEpoch });

    /// <inheritdoc/>
    public Task SaveInviteAsync(Invite invite) => SaveAsync(TopologyKeys.OfInvite(invite.SecretHash), StoredMessages.ToMessage(invite));

    /// <inheritdoc/>
    public Invite? FindInvite(string secretHash) =>
        _entries.TryGetValue(TopologyKeys.OfInvite(secretHash), out TopologyEntry entry) && !entry.Value.IsEmpty ? ToInvite(entry.Value) : null;

    /// <inheritdoc/>
    public async Task DeleteInvitesAsync(string geoLocation)
    {
        foreach (Invite invite in ValuesOf(TopologyKeys.Invites).Select(ToInvite).Where(invite => invite.GeoLocation == geoLocation))
            await SaveAsync(TopologyKeys.OfInvite(invite.SecretHash), null).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public Task RaiseTermAsync(long above) => WriteAsync(async () =>
    {
        if (Term <= above)
            await TakeTermAsync(above + 1).ConfigureAwait(false);
    });

    public async ValueTask DisposeAsync()
    {
        await _servers.DisposeAsync().ConfigureAwait(false);
        _bucket.Dispose();
        _superseded.Dispose();
    }

    private static Invite ToInvite(ReadOnlyMemory<byte> value) => StoredMessages.FromMessage(V1.StoredInvite.Parser.ParseFrom(value.Span));

    private IReadOnlyList<TopicInfo> LoadTopics(bool deleted) =>
    [
        .. ValuesOf(TopologyKeys.Topics).Select(value => V1.StoredTopic.Parser.ParseFrom(value.Span))
            .Where(topic => topic.Deleted == deleted).Select(StoredMessages.FromMessage),
    ];

    private IEnumerable<ReadOnlyMemory<byte>> ValuesOf(string prefix) => _entries
        .Where(entry => entry.Key.StartsWith(prefix, StringComparison.Ordinal) && !entry.Value.Value.IsEmpty)
        .Select(entry => entry.Value.Value);

    /// <summary>False where another has written meanwhile.</summary>
    private async Task<bool> TryTakeOverAsync(bool acceptsLoss, long written, CancellationToken cancellationToken)
    {
        await LoadAsync(acceptsLoss, cancellationToken).ConfigureAwait(false);
        if (_last < written)
        {
            _logger.LogWarning(
                "the last changes of the topology, revisions {First} to {Last} of {Stream}, are lost, as where a NATS server's power failed or an older copy of its store was put back; "
                + "this SC goes on with what is stored; look whether topics and geo-locations are as they should be",
                _last + 1, written, _bucket.Stream);
        }

        try
        {
            long before = _entries.TryGetValue(TopologyKeys.Writer, out TopologyEntry entry) ? V1.StoredWriter.Parser.ParseFrom(entry.Value.Span).Term : 0;
            await TakeTermAsync(Math.Max(before, _last) + 1).ConfigureAwait(false);
            if (!_entries.ContainsKey(TopologyKeys.Cluster))
                await AppendAsync(TopologyKeys.Cluster, new V1.StoredCluster { Id = Guid.NewGuid().ToString("N") }.ToByteArray()).ConfigureAwait(false);

            return true;
        }
        catch (TopologySupersededException)
        {
            return false;
        }
    }

    private async Task TakeTermAsync(long term)
    {
        var taken = new V1.StoredWriter { Name = _writer, Id = Guid.NewGuid().ToString("N"), Term = term };
        await AppendAsync(TopologyKeys.Writer, taken.ToByteArray()).ConfigureAwait(false);
        Interlocked.Exchange(ref _term, term);
    }

    private Task SaveAsync(string key, IMessage? message) => WriteAsync(() => AppendAsync(key, message?.ToByteArray() ?? []));

    private async Task WriteAsync(Func<Task> write)
    {
        await _writing.WaitAsync().ConfigureAwait(false);
        try
        {
            if (_problem is { } problem)
                throw problem;

            await write().ConfigureAwait(false);
        }
        catch (TopologySupersededException problem) when (_problem is null)
        {
            _problem = problem;
            await _superseded.CancelAsync().ConfigureAwait(false);
            throw;
        }
        finally
        {
            _writing.Release();
        }
    }

    private async Task AppendAsync(string key, byte[] value)
    {
        while (true)
        {
            // First what others have written over: without it nobody could tell that what is there is whole.
            string next = _overwritten.FirstOrDefault(key);
            if (await TryAppendAsync(next, next == key ? value : _entries[next].Value.ToArray()).ConfigureAwait(false) is { } foreign)
            {
                PassOver(foreign);
                continue;
            }

            _overwritten.Remove(next);
            if (next == key)
                return;
        }
    }

    /// <summary>Null where it is stored; what lies in its place, or is the first behind it, where that is of no SC.</summary>
    private async Task<StoredMessage?> TryAppendAsync(string key, byte[] value)
    {
        // Nothing is sent, and nothing lost, where there is no connection to begin with.
        await _servers.EnsureReadyAsync().ConfigureAwait(false);
        if (value.Length > _servers.MaxPayload)
        {
            throw new ClusterException(
                ErrorCode.InvalidArgument,
                $"'{key}' takes {value.Length} bytes, and the NATS servers take {_servers.MaxPayload} in one message; raise their max_payload");
        }

        ImmutableSortedDictionary<string, TopologyEntry> entries = _entries;
        long sequence = _last + 1;
        long sum = _sum + sequence - (entries.TryGetValue(key, out TopologyEntry before) ? before.Revision : 0);
        var headers = new NatsHeaders
        {
            ["Nats-Expected-Last-Sequence"] = _last.ToString(CultureInfo.InvariantCulture),
            [TopologyReading.SumHeader] = sum.ToString(CultureInfo.InvariantCulture),
        };
        if (value.Length == 0)
            headers[KeyValueBucket.OperationHeader] = KeyValueBucket.Deleted;

        if (await SendAsync(_bucket.SubjectOf(key), value, headers, sequence).ConfigureAwait(false) is { } foreign)
            return foreign;

        _entries = entries.SetItem(key, new TopologyEntry(value, sequence));
        _sum = sum;
        _last = sequence;
        return null;
    }

    private void PassOver(StoredMessage foreign)
    {
        string key = foreign.Subject[_bucket.SubjectOf("").Length..];
        _last = (long)foreign.Seq;
        if (_entries.ContainsKey(key))
            _overwritten.Add(key);

        _logger.LogWarning(
            "'{Key}' in {Stream} was written by something that is no SC; {What}", key, _bucket.Stream,
            _entries.ContainsKey(key) ? "the SC's value is written again" : "it is passed over");
    }

    /// <summary>
    /// A message whose answer is lost may be stored, or come to be: it is sent again until one of the two is, which the other makes
    /// impossible, and if neither is accepted, what lies in its place tells whose it is.
    /// </summary>
    /// <returns>What lies in its place, or is the first behind it, where that is of no SC, and this was not stored; null where it was.</returns>
    private async Task<StoredMessage?> SendAsync(string subject, byte[] value, NatsHeaders headers, long sequence)
    {
        long began = Stopwatch.GetTimestamp();
        for (bool isFirst = true; ; isFirst = false)
        {
            Task<PublishOutcome> sent = await _servers
                .PublishAsync(subject, new ReadOnlySequence<byte>(value), new NatsHeaders(headers.ToDictionary())).ConfigureAwait(false);
            PublishOutcome outcome = await sent.ConfigureAwait(false);
            switch (outcome.Result)
            {
                case PublishResult.Stored when outcome.Sequence == sequence:
                    return null;
                case PublishResult.Full when isFirst:
                    throw _servers.Full("the topology", outcome.Problem);
                case PublishResult.Misplaced when await FindWrittenAsync(sequence).ConfigureAwait(false) is { } written:
                    if ((long)written.Seq == sequence && written.Subject == subject && written.Data.Span.SequenceEqual(value))
                        return null;

                    // Behind its place, where others have written a key more than once. Had this been stored before, it might be what is gone there.
                    if (((long)written.Seq == sequence || isFirst) && !TopologyReading.IsOwn(written))
                        return written;

                    throw new TopologySupersededException("another has written the topology since");
            }

            if (Stopwatch.GetElapsedTime(began) > _options.Patience)
                throw new TopologySupersededException($"NATS at {_options.Address} has not said what became of its last write ({outcome.Problem})");

            await Task.Delay(RetryAfter).ConfigureAwait(false);
        }
    }

    /// <summary>The first message at or behind a sequence; null where nobody says now, or who answers is behind.</summary>
    private async Task<StoredMessage?> FindWrittenAsync(long sequence)
    {
        try
        {
            return await _servers.FindNextAsync(_bucket.Stream, sequence, _bucket.SubjectOf(">")).ConfigureAwait(false);
        }
        catch (ClusterException)
        {
            return null;
        }
    }
}
