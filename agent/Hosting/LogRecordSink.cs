using System.Collections.Concurrent;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Topology;
using EdgeStream.Devices;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using Microsoft.Extensions.Logging;
using ErrorCode = EdgeStream.Protocol.V1.ErrorCode;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Agent.Hosting;

/// <summary>
/// Takes what sources read into the log. All sources of a topic share its batches. A full disk makes them wait, so that the
/// devices behind them keep what cannot be stored.
/// </summary>
internal sealed class LogRecordSink(StreamController controller, TimeProvider time, ILogger<LogRecordSink> logger)
    : IRecordSink, IAsyncDisposable
{
    private static readonly TimeSpan FullRetry = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<PartitionId, RecordAccumulator> _accumulators = new();
    private readonly ConcurrentDictionary<string, int> _roundRobin = new(StringComparer.Ordinal);
    private readonly CancellationTokenSource _stop = new();
    private volatile string? _problem;
    private int _disposed;

    /// <summary>Why records wait at the moment, in one line; null while they do not.</summary>
    public string? Problem => _problem;

    public async ValueTask AppendAsync(SourceRecord record, CancellationToken cancellationToken)
    {
        RecordAccumulator accumulator = AccumulatorOf(record);
        try
        {
            Task stored = await accumulator.AddToBatchAsync(ToRecord(record), cancellationToken).ConfigureAwait(false);
            await stored.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (EdgeStreamException refusal) when (IsPermanent(refusal))
        {
            throw new RecordRejectedException(refusal.Message);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;

        await _stop.CancelAsync().ConfigureAwait(false);
        foreach (RecordAccumulator accumulator in _accumulators.Values)
            await accumulator.DisposeAsync().ConfigureAwait(false);

        _stop.Dispose();
    }

    /// <summary>
    /// Whether the record would be refused each time it is offered. Whatever else goes wrong may pass, so the device keeps the
    /// record: to reject it would have it acknowledged and lost.
    /// </summary>
    private static bool IsPermanent(EdgeStreamException refusal) => refusal is RecordTooLargeException
        or ClusterException { Code: ErrorCode.TopicNotFound or ErrorCode.PartitionNotFound };

    private RecordAccumulator AccumulatorOf(SourceRecord record)
    {
        TopicInfo? topic = controller.Current.Topics.GetValueOrDefault(record.Topic);
        if (topic is null or { Partitions.Length: 0 })
            throw new RecordRejectedException(NoTopic(record.Topic));

        if (topic.Settings.IsDown)
            throw new RecordRejectedException($"topic '{record.Topic}' flows down from the hub, and nobody else appends to it");

        var id = new PartitionId(topic.Name, PartitionOf(topic, record));
        return _accumulators.GetOrAdd(id, key => new RecordAccumulator(
            topic.Settings.Compression, (batch, _) => StoreAsync(key, batch), fillsWhileUnacknowledged: true));
    }

    /// <summary>A name that comes from a message may be one that no topic can have.</summary>
    private static string NoTopic(string name)
    {
        try
        {
            return ClusterException.TopicNotFound(Names.CheckTopic(name)).Message;
        }
        catch (InvalidNameException impossible)
        {
            return impossible.Message;
        }
    }

    private int PartitionOf(TopicInfo topic, SourceRecord record)
    {
        uint count = (uint)topic.Partitions.Length;
        if (count == 1)
            return 0;

        // Records of one key keep their order: they go to one partition.
        return record.Key is { } key
            ? (int)(Crc32C.Compute(key.Span) % count)
            : (int)((uint)_roundRobin.AddOrUpdate(topic.Name, 0, (_, last) => last + 1) % count);
    }

    /// <summary>
    /// One batch after the other, up to where it is written: were two on their way, one that has to wait for room would be
    /// overtaken. The sync may take others along, as it can be a second away.
    /// </summary>
    private async ValueTask<Task<long>> StoreAsync(PartitionId id, ReadOnlyMemory<byte> batch)
    {
        while (true)
        {
            try
            {
                IPartitionLog log = controller.GetPartition(id.Topic, id.Partition).Log;
                AppendedRange range = await log.AppendAsync(batch, AckLevel.Written).ConfigureAwait(false);
                _problem = null;
                return WaitForDurableAsync(log, range);
            }
            catch (StorageFullException full)
            {
                if (_problem is null)
                    logger.LogError("sources wait: {Problem}", full.Message);

                _problem = full.Message;
                await Task.Delay(FullRetry, time, _stop.Token).ConfigureAwait(false);
            }
        }
    }

    private static async Task<long> WaitForDurableAsync(IPartitionLog log, AppendedRange range)
    {
        await log.WaitForDurableAsync(range.LastOffset + 1, CancellationToken.None).ConfigureAwait(false);
        return range.BaseOffset;
    }

    private static Record ToRecord(SourceRecord record) => new(
        0,
        record.Timestamp.ToUnixTimeMilliseconds(),
        record.Key,
        record.Value,
        record.Headers.Count == 0 ? [] : [.. record.Headers.Select(header => new RecordHeader(header.Key, header.Value))]);
}
