using System.Buffers;
using System.Globalization;
using EdgeStream.Storage;
using NATS.Client.Core;
using NATS.Client.JetStream;
using NATS.Client.JetStream.Models;

namespace EdgeStream.Cluster.Engines.JetStream;

/// <summary>
/// The cluster's key-value bucket, in the form that all NATS clients know: what is kept of partitions beside their records. Keys begin with
/// a partition's incarnation, so another log of its name finds none of them. Safe from any thread.
/// </summary>
/// <remarks>
/// Values are read from the leader and written where the last revision is the expected one, so a writer that has lost its place, or reads
/// from a server that is behind, can neither take an old value for the newest nor write over a newer one.
/// </remarks>
internal sealed class StateBucket(JetStreamServers servers, string clusterId) : IDisposable
{
    private readonly string _bucket = StreamNames.Bucket(clusterId);
    private readonly SemaphoreSlim _ensuring = new(1);
    private int _replicas;

    private string Stream => $"KV_{_bucket}";

    /// <summary>Has the bucket, with as many replicas at least.</summary>
    /// <exception cref="NatsJSApiException">The servers refuse it, for instance because there are fewer of them.</exception>
    /// <exception cref="ClusterException">They do not answer, or the name is another's.</exception>
    public async ValueTask EnsureAsync(int replicas)
    {
        if (Volatile.Read(ref _replicas) >= replicas)
            return;

        await _ensuring.WaitAsync().ConfigureAwait(false);
        try
        {
            StreamInfo? known = await servers.FindStreamAsync(Stream).ConfigureAwait(false);
            if (known is not null && known.Config.Description != Description)
            {
                throw new ClusterException(
                    ErrorCode.StorageFailed, $"the NATS key-value bucket '{_bucket}' is not this hub's; delete it there, or use another NATS account");
            }

            if (known is null)
            {
                known = await servers.CreateStreamAsync(Config(replicas)).ConfigureAwait(false);
            }
            else if (known.Config.NumReplicas < replicas)
            {
                await ProbeAsync(replicas).ConfigureAwait(false);
                known = await servers.UpdateStreamAsync(Config(replicas)).ConfigureAwait(false);
            }

            Volatile.Write(ref _replicas, known.Config.NumReplicas);
        }
        finally
        {
            _ensuring.Release();
        }
    }

    /// <summary>A key's value and its revision; empty and 0 where it has none.</summary>
    public async Task<(ReadOnlyMemory<byte> Value, long Revision)> ReadAsync(string key) =>
        await servers.FindLastAsync(Stream, SubjectOf(key)).ConfigureAwait(false) is { } found ? (found.Data, (long)found.Seq) : (default, 0);

    /// <summary>Writes a value where the key's last revision is the expected one; the new revision, or null where it is another.</summary>
    /// <exception cref="ClusterException">Nobody answers, or there is no room.</exception>
    public async Task<long?> TryWriteAsync(string key, byte[] value, long expected)
    {
        var headers = new NatsHeaders { ["Nats-Expected-Last-Subject-Sequence"] = expected.ToString(CultureInfo.InvariantCulture) };
        Task<PublishOutcome> sent = await servers.PublishAsync(SubjectOf(key), new ReadOnlySequence<byte>(value), headers).ConfigureAwait(false);
        PublishOutcome outcome = await sent.ConfigureAwait(false);
        if (outcome.Result == PublishResult.Stored)
            return outcome.Sequence;

        // The answer may have been lost, or that to an attempt before this one.
        (ReadOnlyMemory<byte> now, long revision) = await ReadAsync(key).ConfigureAwait(false);
        if (revision > expected)
            return now.Span.SequenceEqual(value) ? revision : null;

        throw servers.Unavailable($"'{key}' of the bucket '{_bucket}' could not be written ({outcome.Problem})");
    }

    /// <summary>Deletes all that is kept of an incarnation.</summary>
    public Task DeleteAsync(Guid incarnation) => servers.PurgeAsync(Stream, new StreamPurgeRequest { Filter = SubjectOf($"{incarnation:N}.>") });

    public void Dispose() => _ensuring.Dispose();

    /// <summary>A server alone takes any number in an update, and refuses it only where something is made.</summary>
    private async Task ProbeAsync(int replicas)
    {
        await servers
            .CreateStreamAsync(new StreamConfig($"{_bucket}-probe", [$"{_bucket}-probe"]) { Storage = StreamConfigStorage.Memory, NumReplicas = replicas })
            .ConfigureAwait(false);
        await servers.DeleteStreamAsync($"{_bucket}-probe").ConfigureAwait(false);
    }

    private string Description => $"EdgeStream {clusterId} state";

    private string SubjectOf(string key) => $"$KV.{_bucket}.{key}";

    private StreamConfig Config(int replicas) => new(Stream, [SubjectOf(">")])
    {
        Description = Description,
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

/// <summary>One value of the bucket and its revision, as its one writer knows it. For one caller at a time.</summary>
internal sealed class StateEntry(StateBucket bucket, string key)
{
    private long _revision;

    public ReadOnlyMemory<byte> Value { get; private set; }

    public async Task LoadAsync() => (Value, _revision) = await bucket.ReadAsync(key).ConfigureAwait(false);

    /// <summary>False where somebody else has written it since: <see cref="Value"/> is theirs then, and another call would write over it.</summary>
    public async Task<bool> TrySaveAsync(byte[] value)
    {
        if (await bucket.TryWriteAsync(key, value, _revision).ConfigureAwait(false) is not { } revision)
        {
            await LoadAsync().ConfigureAwait(false);
            return false;
        }

        (Value, _revision) = (value, revision);
        return true;
    }
}
