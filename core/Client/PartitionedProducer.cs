using EdgeStream.Protocol.V1;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Client;

/// <summary>A record that has its place in the order of a partition.</summary>
/// <param name="Partition">Which.</param>
/// <param name="Offset">Its offset, once it is acknowledged.</param>
public readonly record struct SentRecord(int Partition, Task<long> Offset);

/// <summary>
/// Appends records to all partitions of a topic, those that there are when it is made. Records with the same key go to the same partition,
/// the one that Kafka's producers choose, and keep their order; those without a key go to one partition until a batch of them is on its way,
/// and then to the next. Each partition has a <see cref="Producer"/> of its own, with all that it promises. Safe from any thread.
/// </summary>
public sealed class PartitionedProducer : IAsyncDisposable
{
    private readonly (int Partition, Producer Producer)[] _all;

    // Whose turn it is with what has no key. The first at random, or whoever sends one record a run would send all of them to the same.
    private int _turn;

    /// <param name="partitions">In the order of their numbers; one at least.</param>
    /// <param name="open">Makes the producer of a partition, which tells when it has handed over a batch.</param>
    internal PartitionedProducer(IReadOnlyList<int> partitions, Func<int, Action, Producer> open)
    {
        _turn = Random.Shared.Next(partitions.Count);
        _all = [.. partitions.Select((partition, index) => (partition, open(partition, () => EndTurn(index))))];
    }

    /// <summary>How many partitions it appends to.</summary>
    public int Count => _all.Length;

    /// <summary>
    /// Whether it is nobody's choice to which partition of a topic a record goes: not where each is that of a geo-location, and not in an
    /// edge's copy of what flows down.
    /// </summary>
    public static bool IsFor(Topic topic) => topic.Settings is not { Mirror: true } and not { Down: true };

    /// <summary>Appends a record; completes when it has its place in the order (its memory is free then).</summary>
    /// <exception cref="Storage.EdgeStreamException">See <see cref="Producer.SendAsync(Record, CancellationToken)"/>.</exception>
    public async ValueTask<SentRecord> SendAsync(Record record, CancellationToken cancellationToken = default)
    {
        int index = record.Key is { } key ? KeyPartitioner.IndexOf(key.Span, _all.Length) : Volatile.Read(ref _turn);
        (int partition, Producer producer) = _all[index];
        return new SentRecord(partition, await producer.SendAsync(record, cancellationToken).ConfigureAwait(false));
    }

    /// <summary>Sends what waits, and waits for its acknowledgement.</summary>
    public async ValueTask DisposeAsync() =>
        await Task.WhenAll(_all.Select(one => one.Producer.DisposeAsync().AsTask())).ConfigureAwait(false);

    /// <summary>A batch of keys ends none but its own partition's turn.</summary>
    private void EndTurn(int index) => Interlocked.CompareExchange(ref _turn, (index + 1) % _all.Length, index);
}
