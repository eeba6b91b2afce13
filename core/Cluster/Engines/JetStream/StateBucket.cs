using NATS.Client.JetStream.Models;

namespace EdgeStream.Cluster.Engines.JetStream;

/// <summary>
/// The cluster's key-value bucket: what is kept of partitions beside their records, and what else SPUs write themselves. Keys of the former
/// begin with a partition's incarnation, so another log of its name finds none of them. Safe from any thread.
/// </summary>
internal sealed class StateBucket(JetStreamServers servers, string clusterId)
    : KeyValueBucket(servers, StreamNames.Bucket(clusterId), $"EdgeStream {clusterId} state")
{
    private readonly JetStreamServers _servers = servers;

    /// <summary>Writes a value where the key's last revision is the expected one; the new revision.</summary>
    /// <exception cref="ClusterException">It is another, or nobody answers.</exception>
    public async Task<long> WriteAsync(string key, byte[] value, long expected) =>
        await TryWriteAsync(key, value, expected).ConfigureAwait(false) ?? throw _servers.Unavailable($"'{key}' of '{Stream}' was written by another");

    /// <summary>Deletes all that is kept of an incarnation.</summary>
    public Task DeleteAsync(Guid incarnation) => _servers.PurgeAsync(Stream, new StreamPurgeRequest { Filter = SubjectOf($"{incarnation:N}.>") });
}

/// <summary>One value of the bucket and its revision, as its one writer knows it. For one caller at a time.</summary>
internal sealed class StateEntry(StateBucket bucket, string key)
{
    private long _revision;

    public ReadOnlyMemory<byte> Value { get; private set; }

    public async Task LoadAsync() => (Value, _revision) = await bucket.ReadAsync(key).ConfigureAwait(false);

    public async Task SaveAsync(byte[] value)
    {
        _revision = await bucket.WriteAsync(key, value, _revision).ConfigureAwait(false);
        Value = value;
    }
}
