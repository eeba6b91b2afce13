using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Topology;

namespace EdgeStream.Cluster.Engines.JetStream;

/// <summary>
/// That a partition has had its stream, in the bucket: the incarnation, by the partition's name. It outlives a stream that somebody deletes, so
/// that none is made in its place, and goes with the topic. For one caller at a time.
/// </summary>
/// <remarks>Order: the stream is made → the mark is written → records are taken. Without a mark nothing can be missed.</remarks>
internal sealed class StreamMark(StateBucket bucket, PartitionId id)
{
    private readonly StateEntry _entry = new(bucket, $"{PrefixOf(id.Topic)}{id.Partition}");

    private Guid Incarnation => new(_entry.Value.Span, bigEndian: true);

    /// <summary>Whether there was a stream, as far as <see cref="LoadAsync"/> has seen.</summary>
    public bool IsSet => !_entry.Value.IsEmpty;

    /// <exception cref="ClusterException">The servers do not answer.</exception>
    public Task LoadAsync() => _entry.LoadAsync();

    /// <summary>The incarnation that it was set for; null where it is not.</summary>
    /// <exception cref="ClusterException">The servers do not answer.</exception>
    public async Task<Guid?> FindAsync()
    {
        await LoadAsync().ConfigureAwait(false);
        return IsSet ? Incarnation : null;
    }

    /// <summary>
    /// Whether a stream that is gone had records, so that none may be made in its place. It had none where nobody has led it; and where what else
    /// was kept of it is gone as well, an SC of an older version has deleted the topic, which leaves the mark.
    /// </summary>
    /// <exception cref="ClusterException">The servers do not answer.</exception>
    public async Task<bool> IsMissedAsync(PartitionInfo info) =>
        IsSet && (info.LeaderEpoch == 0 || !(await bucket.ReadAsync(LeaderEntry.KeyOf(Incarnation)).ConfigureAwait(false)).Value.IsEmpty);

    /// <summary>Sets it where it is not, or was for another stream.</summary>
    /// <exception cref="ClusterException">The servers do not answer, or there is no room.</exception>
    public async Task SetAsync(Guid incarnation)
    {
        byte[] value = incarnation.ToByteArray(bigEndian: true);
        if (!_entry.Value.Span.SequenceEqual(value))
            await _entry.TrySaveAsync(value).ConfigureAwait(false);
    }

    /// <summary>Takes away those of all partitions of a topic.</summary>
    public static Task DeleteAsync(StateBucket bucket, string topic) => bucket.DeleteAsync(PrefixOf(topic));

    private static string PrefixOf(string topic) => $"opened.{KeyValueBucket.PartOf(topic)}.";
}
