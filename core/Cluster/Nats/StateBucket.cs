using NATS.Client.JetStream.Models;

namespace EdgeStream.Cluster.Nats;

/// <summary>
/// The cluster's key-value bucket: what is kept of partitions beside their records, and what else SPUs write themselves. Keys of the former
/// begin with a partition's incarnation, so another log of its name finds none of them; but for the mark that it has had one at all.
/// Safe from any thread.
/// </summary>
internal sealed class StateBucket(JetStreamServers servers, string clusterId)
    : KeyValueBucket(servers, ClusterPrefix.Of(clusterId), $"EdgeStream {clusterId} state")
{
    private readonly JetStreamServers _servers = servers;

    /// <summary>Deletes all that is kept of an incarnation.</summary>
    public Task DeleteAsync(Guid incarnation) => DeleteAsync($"{incarnation:N}.");

    /// <summary>Deletes all whose keys begin with a prefix, which ends with a dot.</summary>
    public Task DeleteAsync(string prefix) => _servers.PurgeAsync(Stream, new StreamPurgeRequest { Filter = SubjectOf($"{prefix}>") });
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
