using System.Buffers;
using System.Collections.Concurrent;
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
/// whoever opens it ends what another still has on its way. Each message also says, in a header, the sum of the revisions of all keys as it
/// leaves them. Revisions only grow, so what was loaded is complete, and of that one instant, if and only if its sum is the last message's:
/// whichever servers have answered.
/// </remarks>
public sealed class JetStreamTopologyStore : IClusterTopologyStore, IAsyncDisposable
{
    private const string SumHeader = "EdgeStream-Sum";
    private const string ClusterKey = "cluster";
    private const string WriterKey = "writer";
    private const string TopicPrefix = "topic.";
    private const string GeoLocationPrefix = "geo.";
    private const string InvitePrefix = "invite.";
    private const string SpuPrefix = "spu.";
    private const string RevokedPrefix = "revoked.";
    private const string AuthorityKey = "authority";
    private const string EpochsKey = "epochs";

    // Questions that are under way at once while all is loaded.
    private const int LoadingAtOnce = 16;

    private static readonly TimeSpan RetryAfter = TimeSpan.FromMilliseconds(100);

    // Servers may be behind each other for a moment; what stays so was not written by us.
    private static readonly TimeSpan LoadPatience = TimeSpan.FromSeconds(15);

    private readonly JetStreamOptions _options;
    private readonly JetStreamServers _servers;
    private readonly KeyValueBucket _bucket;
    private readonly CancellationTokenSource _superseded = new();

    // Not disposed of: who still writes at the end gives it back, and those behind get to know that it is over.
    private readonly SemaphoreSlim _writing = new(1);

    // Replaced with each write, and read at any time.
    private volatile ImmutableSortedDictionary<string, Entry> _entries = ImmutableSortedDictionary.Create<string, Entry>(StringComparer.Ordinal);

    // Who writes owns these.
    private long _last;
    private long _sum;
    private TopologySupersededException? _problem;

    private JetStreamTopologyStore(JetStreamOptions options, string cluster, ILogger logger)
    {
        _options = options;
        _servers = new JetStreamServers(options, logger);
        _bucket = new KeyValueBucket(_servers, $"edgestream-{cluster}-meta", $"EdgeStream {cluster} topology");
    }

    /// <inheritdoc/>
    public string ClusterId => V1.StoredCluster.Parser.ParseFrom(_entries[ClusterKey].Value.Span).Id;

    /// <summary>The sequence of the write that took the bucket over: that of an SC which does so later is greater.</summary>
    public long Term { get; private set; }

    /// <summary>Cancelled with the first <see cref="TopologySupersededException"/>.</summary>
    public CancellationToken Superseded => _superseded.Token;

    /// <inheritdoc/>
    public long NextEpoch => _last + 1 + EpochsAhead;

    // Each write makes the next epoch greater by one at least; what was found greater still lies in between for ever.
    private long EpochsAhead => _entries.TryGetValue(EpochsKey, out Entry entry) ? V1.StoredEpochs.Parser.ParseFrom(entry.Value.Span).Ahead : 0;

    /// <summary>Makes the bucket where there is none, takes it over from whoever has written it, and loads all of it.</summary>
    /// <param name="options">Where the servers are, and how many of them are to keep it.</param>
    /// <param name="cluster">The cluster's name.</param>
    /// <param name="writer">The SC's name, for people.</param>
    /// <param name="logger">Told what becomes of the connection.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="ClusterException">The servers do not answer now, or the bucket is another's.</exception>
    public static async Task<JetStreamTopologyStore> OpenAsync(
        JetStreamOptions options, string cluster, string writer, ILogger logger, CancellationToken cancellationToken = default)
    {
        var store = new JetStreamTopologyStore(options, cluster, logger);
        try
        {
            await store._servers.EnsureReadyAsync().ConfigureAwait(false);
            await store._bucket.EnsureAsync(options.Replicas).ConfigureAwait(false);
            while (!await store.TryTakeOverAsync(writer, cancellationToken).ConfigureAwait(false))
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
        await using var store = new JetStreamTopologyStore(options, cluster, logger);
        await store._servers.EnsureReadyAsync().ConfigureAwait(false);
        if (!await store._bucket.ExistsAsync().ConfigureAwait(false))
            return null;

        (ReadOnlyMemory<byte> value, _) = await store._bucket.ReadAsync(AuthorityKey).ConfigureAwait(false);
        return value.IsEmpty ? null : V1.StoredAuthority.Parser.ParseFrom(value.Span).Fingerprint;
    }

    /// <inheritdoc/>
    public IReadOnlyList<TopicInfo> LoadTopics() => LoadTopics(deleted: false);

    /// <inheritdoc/>
    public Task SaveTopicAsync(TopicInfo topic) => SaveAsync(TopicPrefix + KeyValueBucket.PartOf(topic.Name), StoredMessages.ToMessage(topic));

    /// <inheritdoc/>
    public Task DeleteTopicAsync(string name) => SaveAsync(TopicPrefix + KeyValueBucket.PartOf(name), null);

    /// <inheritdoc/>
    public IReadOnlyList<TopicInfo> LoadDeletedTopics() => LoadTopics(deleted: true);

    /// <inheritdoc/>
    public Task SaveDeletedTopicAsync(TopicInfo topic)
    {
        V1.StoredTopic message = StoredMessages.ToMessage(topic);
        message.Deleted = true;
        return SaveAsync(TopicPrefix + KeyValueBucket.PartOf(topic.Name), message);
    }

    /// <inheritdoc/>
    public IReadOnlyList<GeoLocationInfo> LoadGeoLocations() =>
        [.. ValuesOf(GeoLocationPrefix).Select(value => StoredMessages.FromMessage(V1.StoredGeoLocation.Parser.ParseFrom(value.Span)))];

    /// <inheritdoc/>
    public Task SaveGeoLocationAsync(GeoLocationInfo geoLocation) =>
        SaveAsync(GeoLocationPrefix + KeyValueBucket.PartOf(geoLocation.Name), StoredMessages.ToMessage(geoLocation));

    /// <inheritdoc/>
    public IReadOnlyList<SpuInfo> LoadSpus() =>
        [.. ValuesOf(SpuPrefix).Select(value => StoredMessages.FromMessage(V1.StoredSpu.Parser.ParseFrom(value.Span)))];

    /// <inheritdoc/>
    public Task SaveSpuAsync(SpuInfo spu) => SaveAsync(SpuKey(spu.Id), StoredMessages.ToMessage(spu));

    /// <inheritdoc/>
    public Task DeleteSpuAsync(int id) => SaveAsync(SpuKey(id), null);

    /// <inheritdoc/>
    public IReadOnlyList<string> LoadRevokedNames() =>
        [.. ValuesOf(RevokedPrefix).Select(value => V1.StoredRevokedName.Parser.ParseFrom(value.Span).Name)];

    /// <inheritdoc/>
    public Task SaveRevokedNameAsync(string name) =>
        SaveAsync(RevokedPrefix + KeyValueBucket.PartOf(name), new V1.StoredRevokedName { Name = name });

    /// <summary>The fingerprint of the CA that the SCs of the cluster have; null where none has said it yet.</summary>
    public string? LoadAuthority() => _entries.TryGetValue(AuthorityKey, out Entry entry) ? V1.StoredAuthority.Parser.ParseFrom(entry.Value.Span).Fingerprint : null;

    public Task SaveAuthorityAsync(string fingerprint) => SaveAsync(AuthorityKey, new V1.StoredAuthority { Fingerprint = fingerprint });

    /// <inheritdoc/>
    public Task RaiseNextEpochAsync(long found) => found < NextEpoch
        ? Task.CompletedTask
        : SaveAsync(EpochsKey, new V1.StoredEpochs { Ahead = EpochsAhead + found + 1 - NextEpoch });

    /// <inheritdoc/>
    public Task SaveInviteAsync(Invite invite) => SaveAsync(InvitePrefix + invite.SecretHash, StoredMessages.ToMessage(invite));

    /// <inheritdoc/>
    public Invite? FindInvite(string secretHash) =>
        _entries.TryGetValue(InvitePrefix + secretHash, out Entry entry) && !entry.Value.IsEmpty ? ToInvite(entry.Value) : null;

    /// <inheritdoc/>
    public async Task DeleteInvitesAsync(string geoLocation)
    {
        foreach (Invite invite in ValuesOf(InvitePrefix).Select(ToInvite).Where(invite => invite.GeoLocation == geoLocation))
            await SaveAsync(InvitePrefix + invite.SecretHash, null).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        await _servers.DisposeAsync().ConfigureAwait(false);
        _bucket.Dispose();
        _superseded.Dispose();
    }

    private static Invite ToInvite(ReadOnlyMemory<byte> value) => StoredMessages.FromMessage(V1.StoredInvite.Parser.ParseFrom(value.Span));

    private IReadOnlyList<TopicInfo> LoadTopics(bool deleted) =>
    [
        .. ValuesOf(TopicPrefix).Select(value => V1.StoredTopic.Parser.ParseFrom(value.Span))
            .Where(topic => topic.Deleted == deleted).Select(StoredMessages.FromMessage),
    ];

    private IEnumerable<ReadOnlyMemory<byte>> ValuesOf(string prefix) => _entries
        .Where(entry => entry.Key.StartsWith(prefix, StringComparison.Ordinal) && !entry.Value.Value.IsEmpty)
        .Select(entry => entry.Value.Value);

    /// <summary>False where another has written meanwhile.</summary>
    private async Task<bool> TryTakeOverAsync(string writer, CancellationToken cancellationToken)
    {
        await LoadAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            await AppendAsync(WriterKey, new V1.StoredWriter { Name = writer, Id = Guid.NewGuid().ToString("N") }.ToByteArray()).ConfigureAwait(false);
            Term = _last;
            if (!_entries.ContainsKey(ClusterKey))
                await AppendAsync(ClusterKey, new V1.StoredCluster { Id = Guid.NewGuid().ToString("N") }.ToByteArray()).ConfigureAwait(false);

            return true;
        }
        catch (TopologySupersededException)
        {
            return false;
        }
    }

    private async Task SaveAsync(string key, IMessage? message)
    {
        await _writing.WaitAsync().ConfigureAwait(false);
        try
        {
            if (_problem is { } problem)
                throw problem;

            await AppendAsync(key, message?.ToByteArray() ?? []).ConfigureAwait(false);
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
        // Nothing is sent, and nothing lost, where there is no connection to begin with.
        await _servers.EnsureReadyAsync().ConfigureAwait(false);
        if (value.Length > _servers.MaxPayload)
        {
            throw new ClusterException(
                ErrorCode.InvalidArgument,
                $"'{key}' takes {value.Length} bytes, and the NATS servers take {_servers.MaxPayload} in one message; raise their max_payload");
        }

        ImmutableSortedDictionary<string, Entry> entries = _entries;
        long sequence = _last + 1;
        long sum = _sum + sequence - (entries.TryGetValue(key, out Entry before) ? before.Revision : 0);
        var headers = new NatsHeaders
        {
            ["Nats-Expected-Last-Sequence"] = _last.ToString(CultureInfo.InvariantCulture),
            [SumHeader] = sum.ToString(CultureInfo.InvariantCulture),
        };
        if (value.Length == 0)
            headers[KeyValueBucket.OperationHeader] = KeyValueBucket.Deleted;

        await SendAsync(_bucket.SubjectOf(key), value, headers, sequence).ConfigureAwait(false);
        _entries = entries.SetItem(key, new Entry(value, sequence));
        _sum = sum;
        _last = sequence;
    }

    /// <summary>
    /// A message whose answer is lost may be stored, or come to be: it is sent again until one of the two is, which the other makes
    /// impossible, and if neither is accepted, what lies in its place tells whose it is.
    /// </summary>
    private async Task SendAsync(string subject, byte[] value, NatsHeaders headers, long sequence)
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
                    return;
                case PublishResult.Full when isFirst:
                    throw _servers.Full("the topology", outcome.Problem);
                case PublishResult.Misplaced when await FindWrittenAsync(sequence).ConfigureAwait(false) is { } written:
                    if ((long)written.Seq == sequence && written.Subject == subject && written.Data.Span.SequenceEqual(value))
                        return;

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

    private async Task LoadAsync(CancellationToken cancellationToken)
    {
        long began = Stopwatch.GetTimestamp();
        while (!await TryLoadAsync().ConfigureAwait(false))
        {
            if (Stopwatch.GetElapsedTime(began) > LoadPatience)
            {
                throw new ClusterException(
                    ErrorCode.StorageFailed,
                    $"'{_bucket.Stream}' in NATS at {_options.Address} is not as an SC has left it; others write to it, or parts of it were deleted");
            }

            await Task.Delay(RetryAfter, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>False where what was read is not all of one instant.</summary>
    private async Task<bool> TryLoadAsync()
    {
        StreamInfo info = await _servers.FindStreamAsync(_bucket.Stream).ConfigureAwait(false)
            ?? throw _servers.Unavailable($"the stream '{_bucket.Stream}' is gone");
        long first = (long)info.State.FirstSeq, last = (long)info.State.LastSeq;
        if (info.State.Messages == 0)
        {
            (_last, _sum, _entries) = (last, 0, _entries.Clear());
            return true;
        }

        var read = new ConcurrentBag<StoredMessage>();
        long part = Math.Max(1, (last - first + LoadingAtOnce) / LoadingAtOnce);
        await Task.WhenAll(Enumerable.Range(0, LoadingAtOnce).Select(i => first + (i * part)).TakeWhile(from => from <= last).Select(
            from => ReadAsync(from, Math.Min(last, from + part - 1), read))).ConfigureAwait(false);
        if (read.MaxBy(message => message.Seq) is not { } newest || (long)newest.Seq != last
            || !long.TryParse(JetStreamServers.HeaderOf(newest, SumHeader), NumberStyles.None, CultureInfo.InvariantCulture, out long sum)
            || read.Sum(message => (long)message.Seq) != sum
            || read.DistinctBy(message => message.Subject).Count() != read.Count)
        {
            return false;
        }

        string prefix = _bucket.SubjectOf("");
        _entries = _entries.Clear().AddRange(read.Select(message =>
            KeyValuePair.Create(message.Subject[prefix.Length..], new Entry(message.Data, (long)message.Seq))));
        (_last, _sum) = (last, sum);
        return true;
    }

    private async Task ReadAsync(long first, long last, ConcurrentBag<StoredMessage> into)
    {
        for (long next = first; next <= last;)
        {
            StoredMessage? found = await _servers.FindNextAsync(_bucket.Stream, next, _bucket.SubjectOf(">")).ConfigureAwait(false);
            if (found is null || (long)found.Seq > last)
                return;

            into.Add(found);
            next = (long)found.Seq + 1;
        }
    }

    private readonly record struct Entry(ReadOnlyMemory<byte> Value, long Revision);

    private static string SpuKey(int id) => string.Create(CultureInfo.InvariantCulture, $"{SpuPrefix}{id}");
}
