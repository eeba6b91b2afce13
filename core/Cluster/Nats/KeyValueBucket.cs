using System.Buffers;
using System.Globalization;
using EdgeStream.Storage;
using NATS.Client.Core;
using NATS.Client.JetStream;
using NATS.Client.JetStream.Models;

namespace EdgeStream.Cluster.Nats;

/// <summary>A key-value bucket of a cluster, in the form that all NATS clients know. Safe from any thread.</summary>
/// <param name="servers">Where it is; stays the caller's.</param>
/// <param name="bucket">Its name.</param>
/// <param name="description">What proves whose it is.</param>
/// <remarks>
/// Values are read from the leader and written where the last revision is the expected one, so a writer that has lost its place, or reads
/// from a server that is behind, can neither take an old value for the newest nor write over a newer one. An empty value is a deleted one.
/// </remarks>
internal class KeyValueBucket(JetStreamServers servers, string bucket, string description) : IDisposable
{
    /// <summary>Marks the message of a deleted value, with <see cref="Deleted"/>.</summary>
    public const string OperationHeader = "KV-Operation";

    public const string Deleted = "DEL";

    private readonly SemaphoreSlim _ensuring = new(1);
    private int _replicas;

    /// <summary>The stream that it is.</summary>
    public string Stream => $"KV_{bucket}";

    /// <summary>At how many servers it is, as far as <see cref="EnsureAsync"/> has seen to it.</summary>
    public int Replicas => Volatile.Read(ref _replicas);

    /// <summary>Has the bucket, with as many replicas at least.</summary>
    /// <exception cref="ClusterException">The servers do not answer, or refuse it: there are fewer of them, or the name is another's.</exception>
    public async ValueTask EnsureAsync(int replicas)
    {
        if (Volatile.Read(ref _replicas) >= replicas)
            return;

        await _ensuring.WaitAsync().ConfigureAwait(false);
        try
        {
            StreamInfo known = await FindAsync().ConfigureAwait(false) ?? CheckOwn(await CreateAsync(replicas).ConfigureAwait(false));
            if (known.Config.NumReplicas < replicas)
            {
                await ProbeAsync(replicas).ConfigureAwait(false);
                known = await servers.UpdateStreamAsync(Config(replicas)).ConfigureAwait(false);
            }

            Volatile.Write(ref _replicas, known.Config.NumReplicas);
        }
        catch (NatsJSApiException refusal)
        {
            throw JetStreamErrors.IsTooManyReplicas(refusal.Error.ErrCode)
                ? JetStreamErrors.TooManyReplicas(replicas, refusal)
                : servers.Unavailable(refusal.Message);
        }
        finally
        {
            _ensuring.Release();
        }
    }

    /// <summary>
    /// Finds out whether the servers that are there now can hold as many replicas of a stream; changes nothing. Where they do not say so it
    /// passes: of a server that has just died they do not know yet, and place streams on it, which goes as long as there is a majority.
    /// </summary>
    /// <exception cref="ClusterException">They cannot.</exception>
    public async ValueTask CheckReplicasAsync(int replicas)
    {
        await _ensuring.WaitAsync().ConfigureAwait(false);
        try
        {
            await ProbeAsync(replicas).ConfigureAwait(false);
        }
        catch (NatsJSApiException refusal) when (JetStreamErrors.IsTooManyReplicas(refusal.Error.ErrCode))
        {
            throw JetStreamErrors.TooManyReplicas(replicas, refusal);
        }
        catch (Exception silent) when (silent is NatsJSApiException or ClusterException { Code: ErrorCode.Unavailable })
        {
            // Whoever makes the stream asks again.
        }
        finally
        {
            _ensuring.Release();
        }
    }

    /// <summary>Whether it is there.</summary>
    /// <exception cref="ClusterException">The servers do not answer, or the name is another's.</exception>
    public async ValueTask<bool> ExistsAsync() => await FindAsync().ConfigureAwait(false) is not null;

    /// <summary>The last revision of all keys; 0 where there is none.</summary>
    public async Task<long> FindLastRevisionAsync() =>
        await servers.FindStreamAsync(Stream).ConfigureAwait(false) is { } info
            ? (long)info.State.LastSeq
            : throw servers.Unavailable($"the stream '{Stream}' is gone");

    /// <summary>A key's value and its revision; empty where it is deleted, and 0 where it never was.</summary>
    public async Task<(ReadOnlyMemory<byte> Value, long Revision)> ReadAsync(string key) =>
        await servers.FindLastAsync(Stream, SubjectOf(key)).ConfigureAwait(false) is { } found ? (found.Data, (long)found.Seq) : (default, 0);

    /// <summary>The values of all keys that begin with a prefix, in the order in which they were written.</summary>
    /// <param name="prefix">Ends with a dot.</param>
    public async Task<IReadOnlyList<(ReadOnlyMemory<byte> Value, long Revision)>> ReadAllAsync(string prefix)
    {
        List<(ReadOnlyMemory<byte>, long)> values = [];
        for (long next = 1; await servers.FindNextAsync(Stream, next, SubjectOf($"{prefix}>")).ConfigureAwait(false) is { } found; next = (long)found.Seq + 1)
        {
            if (found.Data.Length > 0)
                values.Add((found.Data, (long)found.Seq));
        }

        return values;
    }

    /// <summary>
    /// Writes a value, or deletes it with an empty one, where the key's last revision is the expected one; the new revision, or null where
    /// it is another. One of the same bytes counts as this one: what was sent before and had no answer may be sent again.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="value">Its value.</param>
    /// <param name="expected">The key's last revision.</param>
    /// <param name="expectedLast">
    /// That of all keys, asked for before the key was read. Needed where several write a key at once: with more than one replica, servers of
    /// 2.9 look at the key's revision as they take a message in, before the ones ahead of it are stored, and so may take two that expect the
    /// same.
    /// </param>
    /// <exception cref="ClusterException">
    /// Nobody answers. <see cref="ErrorCode.StorageFull"/>: there is no room, and the key's revision is the expected one.
    /// </exception>
    public async Task<long?> TryWriteAsync(string key, byte[] value, long expected, long? expectedLast = null)
    {
        var headers = new NatsHeaders { ["Nats-Expected-Last-Subject-Sequence"] = expected.ToString(CultureInfo.InvariantCulture) };
        if (expectedLast is { } last)
            headers["Nats-Expected-Last-Sequence"] = last.ToString(CultureInfo.InvariantCulture);

        if (value.Length == 0)
            headers[OperationHeader] = Deleted;

        Task<PublishOutcome> sent = await servers.PublishAsync(SubjectOf(key), new ReadOnlySequence<byte>(value), headers).ConfigureAwait(false);
        PublishOutcome outcome = await sent.ConfigureAwait(false);
        if (outcome.Result == PublishResult.Stored)
            return outcome.Sequence;

        // The answer may have been lost, or that to an attempt before this one.
        (ReadOnlyMemory<byte> now, long revision) = await ReadAsync(key).ConfigureAwait(false);
        if (revision > expected)
            return now.Span.SequenceEqual(value) ? revision : null;

        if (outcome.Result == PublishResult.Misplaced && expectedLast is not null)
            return null;

        if (outcome.Result == PublishResult.Full)
            throw servers.Full($"'{key}' of the bucket '{bucket}'", outcome.Problem);

        throw servers.Unavailable($"'{key}' of the bucket '{bucket}' could not be written ({outcome.Problem})");
    }

    public void Dispose()
    {
        _ensuring.Dispose();
        GC.SuppressFinalize(this);
    }

    public string SubjectOf(string key) => $"$KV.{bucket}.{key}";

    /// <summary>A name as a part of a key or a subject: '.' would separate there. No name has a '='.</summary>
    public static string PartOf(string name) => name.Replace('.', '=');

    private async Task<StreamInfo?> FindAsync() => await servers.FindStreamAsync(Stream).ConfigureAwait(false) is { } known ? CheckOwn(known) : null;

    private StreamInfo CheckOwn(StreamInfo known) => known.Config.Description == description ? known : throw new ClusterException(
        ErrorCode.StorageFailed, $"the NATS key-value bucket '{bucket}' is not this hub's; delete it there, or use another NATS account");

    private async Task<StreamInfo> CreateAsync(int replicas)
    {
        try
        {
            return await servers.CreateStreamAsync(Config(replicas)).ConfigureAwait(false);
        }
        catch (NatsJSApiException taken) when (taken.Error.ErrCode == JetStreamErrors.StreamNameInUse)
        {
            // By another of the cluster, at the same time.
            return await servers.FindStreamAsync(Stream).ConfigureAwait(false) ?? throw servers.Unavailable(taken.Message);
        }
    }

    /// <summary>A server alone takes any number in an update, and refuses it only where something is made.</summary>
    private async Task ProbeAsync(int replicas)
    {
        string probe = string.Create(CultureInfo.InvariantCulture, $"{bucket}-probe-{replicas}");
        await servers
            .CreateStreamAsync(new StreamConfig(probe, [probe]) { Storage = StreamConfigStorage.Memory, NumReplicas = replicas })
            .ConfigureAwait(false);
        await servers.DeleteStreamAsync(probe).ConfigureAwait(false);
    }

    private StreamConfig Config(int replicas) => new(Stream, [SubjectOf(">")])
    {
        Description = description,
        MaxMsgsPerSubject = 1,
        Discard = StreamConfigDiscard.New,
        Storage = StreamConfigStorage.File,
        NumReplicas = replicas,
        AllowRollupHdrs = true,
        DenyDelete = true,
        AllowDirect = false,
        MaxBytes = -1,
        MaxMsgs = -1,
        MaxMsgSize = -1,
        MaxConsumers = -1,
    };
}
