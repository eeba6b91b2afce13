using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Live;

namespace EdgeStream.Mirror.Hub;

/// <summary>
/// What the hub knows of the latest values of live topics, in memory: what edges have told ahead, and what the ordered log has
/// brought since they first did. Bounded for each topic of each geo-location (<see cref="LatestByKey"/>). Safe from any thread.
/// </summary>
public sealed class LiveValues(IClusterView cluster)
{
    private readonly ConcurrentDictionary<PartitionId, Known> _known = new();

    [SuppressMessage("Design", "CA1001", Justification = "A semaphore whose handle nobody waits for has nothing to dispose.")]
    private sealed class Known(Partition partition)
    {
        // One at a time.
        private readonly SemaphoreSlim _turn = new(1);
        private readonly LatestByKey _latest = new();
        private LogTail? _tail;

        public Partition Partition { get; } = partition;

        public async Task<int> TakeAsync(IEnumerable<V1.LiveValue> values, CancellationToken cancellationToken)
        {
            await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
            try
            {
                await CatchUpAsync(cancellationToken).ConfigureAwait(false);
                return values.Count(_latest.TryTake);
            }
            finally
            {
                _turn.Release();
            }
        }

        public async Task<IReadOnlyList<V1.LatestValue>> ReadAsync(CancellationToken cancellationToken)
        {
            await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
            try
            {
                await CatchUpAsync(cancellationToken).ConfigureAwait(false);
                long durable = Partition.Log.Offsets.Durable;
                return
                [
                    .. _latest.Values.Select(value => new V1.LatestValue
                    {
                        GeoLocation = Partition.Info.GeoLocation ?? "",
                        Value = value,
                        Ordered = value.Offset < durable,
                    }),
                ];
            }
            finally
            {
                _turn.Release();
            }
        }

        private ValueTask CatchUpAsync(CancellationToken cancellationToken)
        {
            _tail ??= new LogTail(Partition.Log, _latest, Partition.Log.Offsets.Durable);
            return _tail.CatchUpAsync(cancellationToken);
        }
    }

    /// <summary>Takes what an edge tells of one of its own topics; how many of the values were newer than what is known.</summary>
    /// <exception cref="ClusterException">The geo-location mirrors no such topic.</exception>
    public Task<int> TakeAsync(string geoLocation, string topic, IEnumerable<V1.LiveValue> values, CancellationToken cancellationToken)
    {
        PartitionInfo info = cluster.Current.Topics.GetValueOrDefault(topic) is { Settings.Mirror: true } known
            && known.PartitionOf(geoLocation) is { } own
            ? own
            : throw new ClusterException(ErrorCode.TopicNotFound, $"'{geoLocation}' mirrors no topic '{topic}'");
        var id = new PartitionId(topic, info.Number);
        Partition partition = cluster.GetPartition(topic, info.Number);
        return _known.AddOrUpdate(id, _ => new Known(partition), (_, before) => before.Partition == partition ? before : new Known(partition))
            .TakeAsync(values, cancellationToken);
    }

    /// <summary>What is known of a topic.</summary>
    /// <param name="topic">The topic.</param>
    /// <param name="geoLocation">Whose; empty for all.</param>
    /// <param name="cancellationToken">Ends the reading.</param>
    /// <exception cref="ClusterException">There is no such topic or geo-location.</exception>
    public async Task<IReadOnlyList<V1.LatestValue>> ReadAsync(string topic, string geoLocation, CancellationToken cancellationToken)
    {
        TopicInfo info = cluster.Current.Topics.GetValueOrDefault(topic) ?? throw ClusterException.TopicNotFound(topic);
        if (geoLocation.Length > 0 && !cluster.Current.GeoLocations.ContainsKey(geoLocation))
            throw ClusterException.GeoLocationNotFound(geoLocation);

        Known[] asked =
        [
            .. info.Partitions
                .Where(partition => geoLocation.Length == 0 || partition.GeoLocation == geoLocation)
                .Select(partition => _known.GetValueOrDefault(new PartitionId(topic, partition.Number)))
                .OfType<Known>()
                .Where(known => known.Partition.IsOpen && cluster.GetPartition(topic, known.Partition.Id.Partition) == known.Partition),
        ];
        List<V1.LatestValue> values = [];
        foreach (Known known in asked)
            values.AddRange(await known.ReadAsync(cancellationToken).ConfigureAwait(false));

        return values;
    }
}
