using System.Buffers;
using System.Text;
using EdgeStream.Agent.Hosting.Http;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Groups;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using Microsoft.Extensions.Logging.Abstractions;
using Gap = EdgeStream.Storage.Gaps.Gap;
using TopicSettings = EdgeStream.Cluster.Topology.TopicSettings;

namespace EdgeStream.Agent.Tests.Hosting.Http;

/// <summary>What a node with real partitions says to Prometheus.</summary>
public sealed class NodeMetricsTests : IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();
    private LiteDbMetadataStore _store = null!;
    private LocalSpu _spu = null!;
    private StreamController _controller = null!;
    private IReadOnlyList<GroupShare> _groups = [];

    public ValueTask InitializeAsync() => OpenAsync();

    public async ValueTask DisposeAsync()
    {
        await CloseAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task Page_is_well_formed_and_each_name_is_of_this_program()
    {
        await _controller.CreateTopicAsync("many", 3, new TopicSettings());
        MetricsPage page = Render(Full());

        Assert.All(page.Types.Keys, name => Assert.StartsWith("edgestream_", name, StringComparison.Ordinal));
        Assert.All(page.Types, family => Assert.Equal(
            family.Value == "counter", family.Key.EndsWith("_total", StringComparison.Ordinal)));
        foreach (string series in (string[])["many\",partition=\"0", "many\",partition=\"2"])
            Assert.Equal(0, page[$"edgestream_partition_log_end_offset{{topic=\"{series}\",geo=\"\"}}"]);
    }

    [Fact]
    public async Task Partition_shows_its_marks_and_what_was_appended()
    {
        await _controller.CreateTopicAsync("t", 1, new TopicSettings(Mirror: true));
        PartitionLog log = _controller.GetPartition("t", 0).Segments;
        byte[] batch = Batch(5);
        await log.AppendAsync(batch, Storage.Log.AckLevel.Durable, TestContext.Current.CancellationToken);
        log.SetMirrored(2);

        MetricsPage page = Render(new NodeStatus { Storage = new StorageStatus() });

        const string Labels = "{topic=\"t\",partition=\"0\",geo=\"\"}";
        Assert.Equal(1, page["edgestream_partition_open" + Labels]);
        Assert.Equal(0, page["edgestream_partition_log_start_offset" + Labels]);
        Assert.Equal(2, page["edgestream_partition_mirrored_offset" + Labels]);
        Assert.Equal(5, page["edgestream_partition_durable_offset" + Labels]);
        Assert.Equal(5, page["edgestream_partition_log_end_offset" + Labels]);
        Assert.Equal(batch.Length, page["edgestream_partition_appended_bytes_total" + Labels]);
        Assert.Equal(log.SizeInBytes(), page["edgestream_partition_size_bytes" + Labels]);
    }

    [Fact]
    public async Task Gaps_are_counted_by_reason_with_those_that_a_newer_version_knows()
    {
        await _controller.CreateTopicAsync("t", 1, new TopicSettings());
        await _controller.GetPartition("t", 0).Log.AppendAsync(Batch(20), Storage.Log.AckLevel.Durable, TestContext.Current.CancellationToken);
        await CloseAsync();
        var ledger = GapLedger.Open(DiskFiles.Instance, _directory.At("topics/t/0"));
        foreach ((int first, int last, GapReason reason) in ((int, int, GapReason)[])
            [(0, 4, GapReason.Damage), (6, 6, GapReason.Damage), (8, 9, GapReason.Overflow), (11, 11, (GapReason)99)])
        {
            ledger.Add(new Gap(first, last, 0, -1, -1, reason, 0));
        }

        await OpenAsync();
        MetricsPage page = Render(new NodeStatus { Storage = new StorageStatus() });

        foreach ((string reason, int gaps, int records) in ((string, int, int)[])[("damage", 2, 6), ("overflow", 1, 2), ("99", 1, 1), ("torn", 0, 0)])
        {
            Assert.Equal(gaps, page[$"edgestream_partition_gaps{{topic=\"t\",partition=\"0\",geo=\"\",reason=\"{reason}\"}}"]);
            Assert.Equal(records, page[$"edgestream_partition_gap_records_total{{topic=\"t\",partition=\"0\",geo=\"\",reason=\"{reason}\"}}"]);
        }
    }

    [Fact]
    public async Task Partition_that_cannot_be_opened_says_so_and_nothing_else()
    {
        await _controller.CreateTopicAsync("t", 1, new TopicSettings());
        await CloseAsync();
        string manifest = _directory.At("topics/t/0/partition.json");
        string newer = (await File.ReadAllTextAsync(manifest)).Replace("\"formatVersion\": 1", "\"formatVersion\": 2", StringComparison.Ordinal);
        await File.WriteAllTextAsync(manifest, newer);
        await OpenAsync();

        MetricsPage page = Render(new NodeStatus { Storage = new StorageStatus() });

        Assert.Equal(0, page["edgestream_partition_open{topic=\"t\",partition=\"0\",geo=\"\"}"]);
        Assert.Single(page.Samples.Keys, series => series.StartsWith("edgestream_partition_", StringComparison.Ordinal));
    }

    [Fact]
    public void Storage_sources_and_uplink_are_those_of_the_status()
    {
        MetricsPage page = Render(Full());

        Assert.Equal(1, page["edgestream_build_info{version=\"1.2.3\",role=\"edge\"}"]);
        Assert.Equal(2, page["edgestream_problems"]);
        Assert.Equal(1000, page["edgestream_storage_budget_bytes"]);
        Assert.Equal(400, page["edgestream_storage_used_bytes"]);
        Assert.Equal(5000, page["edgestream_disk_free_bytes"]);
        Assert.Equal(60, page["edgestream_storage_full_in_seconds"]);
        Assert.Equal(7, page["edgestream_storage_syncs_total"]);
        Assert.Equal(8, page["edgestream_storage_written_bytes_total"]);
        Assert.Equal(9, page["edgestream_storage_written_bytes_per_year"]);
        Assert.Equal(1, page["edgestream_source_state{source=\"gpio \\\"x\\\"\",state=\"running\"}"]);
        Assert.Equal(0, page["edgestream_source_state{source=\"gpio \\\"x\\\"\",state=\"waiting\"}"]);
        Assert.Equal(3, page["edgestream_source_received_messages_total{source=\"gpio \\\"x\\\"\"}"]);
        Assert.Equal(2, page["edgestream_source_stored_records_total{source=\"gpio \\\"x\\\"\"}"]);
        Assert.Equal(1, page["edgestream_source_dropped_total{source=\"gpio \\\"x\\\"\",reason=\"rate-limit\"}"]);
        Assert.Equal(0, page["edgestream_source_dropped_total{source=\"gpio \\\"x\\\"\",reason=\"queue-full\"}"]);
        Assert.Equal(4, page["edgestream_source_received_messages_total{source=\"gpio \\\"x\\\" #2\"}"]);
        Assert.Equal(1, page["edgestream_uplink_connected{hub=\"h:1\",geo=\"g\"}"]);
        Assert.Equal(11, page["edgestream_uplink_lag_records{hub=\"h:1\",geo=\"g\"}"]);
        Assert.Equal(12, page["edgestream_uplink_sent_bytes_total{hub=\"h:1\",geo=\"g\"}"]);
        Assert.Equal(13, page["edgestream_uplink_reconnects_total{hub=\"h:1\",geo=\"g\"}"]);
        Assert.Equal(0, page["edgestream_uplink_connected{hub=\"h:2\",geo=\"g\"}"]);
        Assert.Equal(21, page["edgestream_uplink_lag_records{hub=\"h:2\",geo=\"g\"}"]);
        Assert.Equal(22, page["edgestream_uplink_sent_bytes_total{hub=\"h:2\",geo=\"g\"}"]);
        Assert.Equal(23, page["edgestream_uplink_reconnects_total{hub=\"h:2\",geo=\"g\"}"]);
        Assert.Equal(1, page["edgestream_geo_location_online{geo=\"on\"}"]);
        Assert.Equal(0, page["edgestream_geo_location_online{geo=\"off\"}"]);
        Assert.True(page["edgestream_process_resident_memory_bytes"] > 0);
    }

    [Fact]
    public async Task Groups_lag_by_what_they_have_not_dealt_with()
    {
        await _controller.CreateTopicAsync("t", 2, new TopicSettings());
        await _controller.GetPartition("t", 1).Log.AppendAsync(Batch(3), Storage.Log.AckLevel.Durable, TestContext.Current.CancellationToken);
        _groups = [new("g", new PartitionId("t", 0), 0, null), new("g", new PartitionId("t", 1), 1, "host/1"), new("g", new PartitionId("gone", 0), 1, null)];

        MetricsPage page = Render(new NodeStatus { Storage = new StorageStatus() });

        Assert.Equal(0, page["edgestream_consumer_group_lag_records{group=\"g\",topic=\"t\",partition=\"0\"}"]);
        Assert.Equal(2, page["edgestream_consumer_group_lag_records{group=\"g\",topic=\"t\",partition=\"1\"}"]);
        Assert.Equal(0, page["edgestream_consumer_group_read{group=\"g\",topic=\"t\",partition=\"0\"}"]);
        Assert.Equal(1, page["edgestream_consumer_group_read{group=\"g\",topic=\"t\",partition=\"1\"}"]);
        Assert.DoesNotContain("edgestream_consumer_group_lag_records{group=\"g\",topic=\"gone\",partition=\"0\"}", page.Samples.Keys);
    }

    [Fact]
    public void Sinks_tell_what_they_have_done()
    {
        var sink = new SourceStatus { Name = "relay", State = "running", Stored = 5, DroppedByReason = { new DroppedCount { Reason = "refused", Count = 2 } } };
        MetricsPage page = Render(new NodeStatus { Storage = new StorageStatus(), Sinks = { sink } });

        Assert.Equal(1, page["edgestream_sink_state{sink=\"relay\",state=\"running\"}"]);
        Assert.Equal(5, page["edgestream_sink_carried_out_records_total{sink=\"relay\"}"]);
        Assert.Equal(2, page["edgestream_sink_dropped_total{sink=\"relay\",reason=\"refused\"}"]);
        Assert.Equal(0, page["edgestream_sink_dropped_total{sink=\"relay\",reason=\"rate-limit\"}"]);
    }

    [Fact]
    public void Forecast_that_cannot_be_made_is_absent_for_0_would_be_an_alarm()
    {
        MetricsPage page = Render(new NodeStatus { Storage = new StorageStatus() });

        Assert.DoesNotContain("edgestream_storage_full_in_seconds", page.Samples.Keys);
        Assert.DoesNotContain("edgestream_storage_written_bytes_per_year", page.Samples.Keys);
    }

    private static NodeStatus Full() => new()
    {
        Role = "edge",
        Version = "1.2.3",
        Problems = { "one", "two" },
        Storage = new StorageStatus
        {
            BudgetBytes = 1000,
            UsedBytes = 400,
            DiskFreeBytes = 5000,
            FullInSeconds = 60,
            Syncs = 7,
            WrittenBytes = 8,
            WrittenBytesPerYear = 9,
        },
        Sources =
        {
            new SourceStatus { Name = "gpio \"x\"", State = "running", Received = 3, Stored = 2, Dropped = 1, DroppedByReason = { new DroppedCount { Reason = "rate-limit", Count = 1 } } },
            new SourceStatus { Name = "gpio \"x\"", State = "waiting", Received = 4 },
        },
        Uplinks =
        {
            new UplinkStatus { Hub = "h:1", GeoLocation = "g", Connected = true, LagRecords = 11, SentBytes = 12, Reconnects = 13 },
            new UplinkStatus { Hub = "h:2", GeoLocation = "g", LagRecords = 21, SentBytes = 22, Reconnects = 23 },
        },
        GeoLocations =
        {
            new GeoLocation { Name = "on", State = GeoLocationState.Online },
            new GeoLocation { Name = "off", State = GeoLocationState.Offline },
            new GeoLocation { Name = "invited", State = GeoLocationState.Invited },
        },
    };

    private static byte[] Batch(int records)
    {
        using var writer = new RecordBatchWriter();
        for (int i = 0; i < records; i++)
            writer.Append(new Record(1000, null, new byte[10]));

        return writer.Build().ToArray();
    }

    private MetricsPage Render(NodeStatus status)
    {
        var output = new ArrayBufferWriter<byte>();
        NodeMetrics.Write(output, status, _spu.Partitions, _groups);
        return new MetricsPage(Encoding.UTF8.GetString(output.WrittenSpan));
    }

    private async ValueTask OpenAsync()
    {
        _store = new LiteDbMetadataStore(_directory.At("metadata.db"));
        _spu = new LocalSpu(1, new PartitionDirectories(_directory.Path), LogOptions.Default, NullLogger<LocalSpu>.Instance);
        _controller = new StreamController(_store, _spu, isHub: false);
        await _controller.StartAsync();
    }

    private async ValueTask CloseAsync()
    {
        _controller.Dispose();
        await _spu.DisposeAsync();
        _store.Dispose();
    }
}
