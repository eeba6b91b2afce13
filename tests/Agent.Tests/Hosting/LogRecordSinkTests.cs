using System.Text;
using EdgeStream.Agent.Hosting;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Devices;
using EdgeStream.Harness;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Agent.Tests.Hosting;

/// <summary>What sources hand over, in a real log.</summary>
public sealed class LogRecordSinkTests : IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();
    private LiteDbMetadataStore _store = null!;
    private LocalSpu _spu = null!;
    private StreamController _controller = null!;
    private LogRecordSink _sink = null!;

    public async ValueTask InitializeAsync()
    {
        _store = new LiteDbMetadataStore(_directory.At("metadata.db"));
        _spu = new LocalSpu(1, new PartitionDirectories(_directory.Path), LogOptions.Default, NullLogger<LocalSpu>.Instance);
        _controller = new StreamController(_store, _spu, isHub: false);
        await _controller.StartAsync();
        _sink = new LogRecordSink(_controller, TimeProvider.System, NullLogger<LogRecordSink>.Instance);
    }

    public async ValueTask DisposeAsync()
    {
        await _sink.DisposeAsync();
        _controller.Dispose();
        await _spu.DisposeAsync();
        _store.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public async Task Record_for_a_topic_that_flows_down_is_rejected()
    {
        await _controller.EnsureDownTopicAsync("commands", null);
        var record = new SourceRecord("commands", null, Bytes("v"), DateTimeOffset.UtcNow, []);
        var refused = await Assert.ThrowsAsync<RecordRejectedException>(async () => await _sink.AppendAsync(record, default));
        Assert.Equal("topic 'commands' flows down from the hub, and nobody else appends to it", refused.Message);
        Assert.Equal(0, _controller.GetPartition("commands", 0).Log.Offsets.End);
    }

    [Fact]
    public async Task Completed_record_is_durable_with_key_time_and_headers()
    {
        await _controller.CreateTopicAsync("t", 1, new TopicSettings());
        var at = DateTimeOffset.FromUnixTimeMilliseconds(1_700_000_000_123);

        await _sink.AppendAsync(new SourceRecord("t", Bytes("k"), Bytes("v"), at, [KeyValuePair.Create("h", Bytes("x"))]), default);

        (long offset, Record record) = Assert.Single(Records("t", 0));
        Assert.Equal((0, "k", "v", 1_700_000_000_123), (offset, Text(record.Key), Text(record.Value), record.Timestamp));
        Assert.Equal(("h", "x"), (record.Headers[0].Key, Text(record.Headers[0].Value)));
        Assert.Equal(1, _controller.GetPartition("t", 0).Log.Offsets.Durable);
    }

    [Fact]
    public async Task Records_handed_over_in_order_are_stored_in_order()
    {
        await _controller.CreateTopicAsync("t", 1, new TopicSettings(Compression: CompressionCodec.Zstd));
        await Task.WhenAll(Enumerable.Range(0, 20_000).Select(i => _sink.AppendAsync(Record("t", null, $"{i}"), default).AsTask()));

        Assert.Equal(Enumerable.Range(0, 20_000).Select(i => $"{i}"), Records("t", 0).Select(stored => Text(stored.Record.Value)));
    }

    [Fact]
    public async Task Records_of_one_key_go_to_one_partition()
    {
        await _controller.CreateTopicAsync("t", 4, new TopicSettings());
        for (int i = 0; i < 100; i++)
            await _sink.AppendAsync(Record("t", $"key-{i % 10}", $"{i}"), default);

        var partitions = Enumerable.Range(0, 4)
            .SelectMany(number => Records("t", number).Select(stored => (Key: Text(stored.Record.Key), Partition: number)))
            .ToArray();
        Assert.Equal(100, partitions.Length);
        Assert.All(partitions.GroupBy(stored => stored.Key), key => Assert.Single(key.Select(stored => stored.Partition).Distinct()));
        Assert.True(partitions.Select(stored => stored.Partition).Distinct().Count() > 1);
    }

    [Fact]
    public async Task Record_for_a_topic_that_does_not_exist_is_rejected()
    {
        RecordRejectedException rejected = await Assert.ThrowsAsync<RecordRejectedException>(
            async () => await _sink.AppendAsync(Record("nope", null, "v"), default));

        Assert.Equal("there is no topic 'nope'; 'edgestream topic create nope' makes it", rejected.Message);
    }

    [Fact]
    public async Task Record_that_is_too_large_is_rejected_and_the_next_one_is_stored()
    {
        await _controller.CreateTopicAsync("t", 1, new TopicSettings());

        await Assert.ThrowsAsync<RecordRejectedException>(
            async () => await _sink.AppendAsync(Record("t", null, new string('x', RecordBatchHeader.MaxBatchSize)), default));
        await _sink.AppendAsync(Record("t", null, "small"), default);

        Assert.Equal("small", Text(Assert.Single(Records("t", 0)).Record.Value));
    }

    [Fact]
    public async Task Record_for_a_partition_that_cannot_be_opened_is_not_rejected_for_it_would_be_lost()
    {
        await _controller.CreateTopicAsync("t", 1, new TopicSettings());
        await _sink.AppendAsync(Record("t", null, "stored"), default);
        await _spu.DisposeAsync();
        string manifest = _directory.At("topics/t/0/partition.json");
        string newer = (await File.ReadAllTextAsync(manifest)).Replace("\"formatVersion\": 1", "\"formatVersion\": 2", StringComparison.Ordinal);
        await File.WriteAllTextAsync(manifest, newer);

        _spu = new LocalSpu(1, new PartitionDirectories(_directory.Path), LogOptions.Default, NullLogger<LocalSpu>.Instance);
        using var controller = new StreamController(_store, _spu, isHub: false);
        await controller.StartAsync();
        await using var sink = new LogRecordSink(controller, TimeProvider.System, NullLogger<LogRecordSink>.Instance);

        Exception failure = await Assert.ThrowsAnyAsync<Exception>(async () => await sink.AppendAsync(Record("t", null, "next"), default));

        Assert.IsNotType<RecordRejectedException>(failure);
    }

    [Fact]
    public async Task Topic_deleted_and_made_again_takes_records()
    {
        await _controller.CreateTopicAsync("t", 1, new TopicSettings());
        await _sink.AppendAsync(Record("t", null, "old"), default);
        await _controller.DeleteTopicAsync("t");
        await Assert.ThrowsAsync<RecordRejectedException>(async () => await _sink.AppendAsync(Record("t", null, "lost"), default));
        await _controller.CreateTopicAsync("t", 1, new TopicSettings());

        await _sink.AppendAsync(Record("t", null, "new"), default);

        Assert.Equal((0, "new"), Records("t", 0).Select(stored => (stored.Offset, Text(stored.Record.Value))).Single());
    }

    private static SourceRecord Record(string topic, string? key, string value) =>
        new(topic, key is null ? null : Bytes(key), Bytes(value), DateTimeOffset.UnixEpoch, []);

    private static ReadOnlyMemory<byte> Bytes(string text) => Encoding.UTF8.GetBytes(text);

    private static string Text(ReadOnlyMemory<byte>? bytes) => Encoding.UTF8.GetString(bytes!.Value.Span);

    private List<(long Offset, Record Record)> Records(string topic, int partition)
    {
        List<(long, Record)> records = [];
        using LogReader reader = _controller.GetPartition(topic, partition).Segments.OpenReader(0);
        while (true)
        {
            using LogSlice slice = reader.Read(1024 * 1024);
            if (slice.IsEmpty)
                return records;

            foreach ((_, ReadOnlyMemory<byte> batch) in RecordBatches.Split(slice.Batches.ToArray()))
            {
                RecordBatchReader batchReader = RecordBatchReader.Open(batch);
                while (batchReader.TryRead(out Record record))
                    records.Add((record.Offset, record));
            }
        }
    }
}
