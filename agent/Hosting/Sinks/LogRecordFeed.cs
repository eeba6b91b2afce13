using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Devices;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using Microsoft.Extensions.Logging;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Agent.Hosting.Sinks;

/// <summary>
/// Reads topics' logs for sinks. Of a topic that flows down, what has expired by the hub's clock is passed over; and, as long as the
/// hub was not heard since the start, whatever can expire: a stale command must not switch anything.
/// </summary>
internal sealed class LogRecordFeed : IRecordFeed
{
    private const int ReadBytes = 64 * 1024;

    private readonly StreamController _controller;
    private readonly HubClock _hubClock;
    private readonly SinkPositions _positions;
    private readonly ILogger<LogRecordFeed> _logger;

    public LogRecordFeed(StreamController controller, HubClock hubClock, SinkPositions positions, ILogger<LogRecordFeed> logger)
    {
        _controller = controller;
        _hubClock = hubClock;
        _positions = positions;
        _logger = logger;
    }

    /// <summary>
    /// To be called with all sinks before any of them runs, or a new one beside those that run. One that is new begins behind what its topic holds already: nobody who
    /// connects a relay wants all that was ever said to happen again.
    /// </summary>
    public void Begin(IEnumerable<ISink> sinks) =>
        _positions.Begin([.. sinks.Select(sink => (sink.Name, sink.Topic)).Distinct()], EndsOf);

    /// <inheritdoc/>
    public async Task FollowAsync(ISink sink, Func<SinkRecord, CancellationToken, ValueTask> act, CancellationToken cancellationToken)
    {
        bool told = false;
        while (true)
        {
            TopologyMap map = _controller.Current;
            if (FindPartitions(map, sink.Topic) is { } partitions)
            {
                await FollowAsync(sink, partitions, act, cancellationToken).ConfigureAwait(false);
                continue;
            }

            if (!told)
                _logger.LogInformation("sink {Name} waits for the topic {Topic}, which is not there yet", sink.Name, sink.Topic);

            told = true;
            await _controller.WaitForChangeAsync(map, cancellationToken).ConfigureAwait(false);
        }
    }

    private IEnumerable<SinkPosition> EndsOf(string topic) => (FindPartitions(_controller.Current, topic) ?? []).Select(
        partition => new SinkPosition(partition.Id.Partition, partition.Segments.Manifest.Incarnation, partition.Segments.Offsets.Durable));

    /// <summary>Null where the topic is not there or cannot be opened, or is being deleted.</summary>
    private List<Partition>? FindPartitions(TopologyMap map, string topic)
    {
        if (map.Topics.GetValueOrDefault(topic) is not { } known)
            return null;

        try
        {
            List<Partition> open =
                [.. known.Partitions.Select(info => _controller.GetPartition(topic, info.Number)).Where(partition => partition.IsOpen)];
            return open.Count > 0 ? open : null;
        }
        catch (ClusterException)
        {
            return null;
        }
    }

    /// <summary>All partitions side by side, the sink acting on one record at a time. Returns when the topic was deleted.</summary>
    private async Task FollowAsync(
        ISink sink, List<Partition> partitions, Func<SinkRecord, CancellationToken, ValueTask> act, CancellationToken cancellationToken)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var acting = new SemaphoreSlim(1);
        Task[] following = [.. partitions.Select(partition => new Follower(this, sink, partition, act, acting).RunAsync(stop.Token))];
        Task first = await Task.WhenAny(following).ConfigureAwait(false);
        await stop.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(following).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        try
        {
            await first.ConfigureAwait(false);
        }
        catch (LogClosedException)
        {
            // Deleted; another topic may take its name.
        }
    }

    /// <summary>One partition for one sink.</summary>
    private sealed class Follower(
        LogRecordFeed feed, ISink sink, Partition partition, Func<SinkRecord, CancellationToken, ValueTask> act, SemaphoreSlim acting)
    {
        private readonly PartitionLog _log = partition.Segments;
        private bool _toldOfClock;

        public async Task RunAsync(CancellationToken cancellationToken)
        {
            Guid incarnation = _log.Manifest.Incarnation;
            long next = feed._positions.Find(sink.Name, sink.Topic, partition.Id.Partition, incarnation) ?? 0;
            while (true)
            {
                LogOffsets offsets = _log.Offsets;
                next = Math.Clamp(next, offsets.Start, offsets.End);
                try
                {
                    using LogReader reader = _log.OpenReader(next);
                    while (true)
                    {
                        await reader.WaitAsync(cancellationToken).ConfigureAwait(false);
                        using LogSlice slice = reader.Read(ReadBytes);
                        await ActOnAsync(slice, next, cancellationToken).ConfigureAwait(false);
                        next = reader.NextOffset;
                        Done(next);
                    }
                }
                catch (OffsetOutOfRangeException) when (_log.StartOffset > next)
                {
                    // Retention was faster than the sink.
                }
            }
        }

        private async ValueTask ActOnAsync(LogSlice slice, long from, CancellationToken cancellationToken)
        {
            foreach ((RecordBatchHeader header, ReadOnlyMemory<byte> batch) in RecordBatches.Split(slice.Batches))
            {
                try
                {
                    using RecordBatchReader records = RecordBatchReader.Open(batch);
                    while (records.TryRead(out Record record))
                    {
                        if (record.Offset < from)
                            continue;

                        await ActOnAsync(record, cancellationToken).ConfigureAwait(false);
                        Done(record.Offset + 1);
                    }
                }
                catch (CorruptBatchException problem)
                {
                    string reason = $"offsets {header.BaseOffset} to {header.LastOffset} of {sink.Topic} cannot be read: {problem.Message}";
                    sink.Counters.AddDropped(reason);
                    feed._logger.LogError("sink {Name}: {Reason}; they were passed over", sink.Name, reason);
                }
            }
        }

        private async ValueTask ActOnAsync(Record record, CancellationToken cancellationToken)
        {
            await acting.WaitAsync(cancellationToken).ConfigureAwait(false);
            try
            {
                sink.Counters.AddReceived();
                if (WhyNotToAct(record) is { } reason)
                    sink.Counters.AddDropped(reason);
                else
                    await act(ToSinkRecord(record), cancellationToken).ConfigureAwait(false);
            }
            finally
            {
                acting.Release();
            }
        }

        private SinkRecord ToSinkRecord(in Record record) => new(sink.Topic, record.Offset, record.Key, record.Value.GetValueOrDefault());

        /// <summary>Null for a record that counts.</summary>
        private string? WhyNotToAct(in Record record)
        {
            if (feed._controller.Current.Topics.GetValueOrDefault(sink.Topic) is not { Settings: { IsDown: true } settings })
                return null;

            long expiresAt = new RecordExpiry(settings.TimeToLive).ExpiresAt(record);
            if (expiresAt == RecordExpiry.Never || feed._hubClock.Now < expiresAt)
                return null;

            if (feed._hubClock.Now is not null)
                return $"offset {record.Offset} of {sink.Topic} had expired";

            if (!_toldOfClock)
            {
                feed._logger.LogWarning(
                    "sink {Name}: the hub was not heard since the start, so its time is not known; until then what can expire counts as expired",
                    sink.Name);
            }

            _toldOfClock = true;
            return $"offset {record.Offset} of {sink.Topic} may have expired: the hub was not heard since the start";
        }

        private void Done(long next) =>
            feed._positions.Set(sink.Name, sink.Topic, new SinkPosition(partition.Id.Partition, _log.Manifest.Incarnation, next));
    }
}
