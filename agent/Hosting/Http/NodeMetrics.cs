using System.Buffers;
using System.Globalization;
using EdgeStream.Agent.Cli;
using EdgeStream.Cluster.Groups;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Devices;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using Gap = EdgeStream.Storage.Gaps.Gap;
using GeoLocation = EdgeStream.Protocol.V1.GeoLocation;
using Partition = EdgeStream.Cluster.Spu.Partition;
using SourceStatus = EdgeStream.Protocol.V1.SourceStatus;

namespace EdgeStream.Agent.Hosting.Http;

/// <summary>
/// What a node says of itself to Prometheus: read at the moment it is asked, and kept nowhere, so a topic that is deleted is
/// gone from here too.
/// </summary>
internal static class NodeMetrics
{
    private static readonly GapReason[] GapReasons = Enum.GetValues<GapReason>();
    private static readonly string[] SourceStates = [.. Enum.GetNames<SourceState>().Select(name => name.ToLowerInvariant())];

    /// <param name="output">Where the text goes.</param>
    /// <param name="status">What the node says of itself as a whole.</param>
    /// <param name="partitions">Its partitions.</param>
    /// <param name="groups">How far consumer groups have read them.</param>
    public static void Write(IBufferWriter<byte> output, NodeStatus status, IReadOnlyList<Partition> partitions, IReadOnlyList<GroupShare> groups)
    {
        var text = new PrometheusText(output);
        PartitionFigures[] figures = [.. partitions.Select(PartitionFigures.Of)];
        WriteNode(text, status);
        WriteCluster(text, status, figures);
        WriteStorage(text, status.Storage);
        WritePartitions(text, figures);
        WriteGroups(text, groups, figures);
        WriteSources(text, status.Sources);
        WriteSinks(text, status.Sinks);
        WriteUplinks(text, status.Uplinks);

        WriteGeoLocations(text, status);
    }

    private static void WriteGeoLocations(PrometheusText text, NodeStatus status)
    {
        GeoLocation[] joined = [.. status.GeoLocations.Where(geo => geo.State is GeoLocationState.Online or GeoLocationState.Offline)];
        text.Gauge("edgestream_geo_location_online", "At a hub: 1 while the edge of this geo-location is connected.");
        foreach (GeoLocation geo in joined)
            text.Sample(geo.State == GeoLocationState.Online ? 1 : 0, ("geo", geo.Name));

        text.Counter("edgestream_geo_location_batch_bytes_total", "At a hub: bytes of record batches that came up.");
        foreach (GeoLocation geo in joined)
            text.Sample(geo.BatchBytes, ("geo", geo.Name));

        text.Counter("edgestream_geo_location_wire_bytes_total", "At a hub: bytes of the messages that brought them, with their headers, TLS not included.");
        foreach (GeoLocation geo in joined)
            text.Sample(geo.WireBytes, ("geo", geo.Name));

        text.Gauge("edgestream_geo_location_drained_in_seconds", "At a hub: when all of the edge's records are here at the present rate; absent where that cannot be told.");
        ILookup<string, PartitionStatus> partitions = status.Partitions.ToLookup(one => one.Partition.GeoLocation);
        foreach (GeoLocation geo in joined)
        {
            if (GeoLinks.DrainedInSeconds(geo, GeoLinks.LagBytes(geo, partitions[geo.Name])) is { } seconds)
                text.Sample(seconds, ("geo", geo.Name));
        }

        text.Gauge("edgestream_geo_location_refused", "At a hub: 1 where somebody with a card of that name, or of none, was refused, as 'geo list' shows it.");
        foreach (Refusal refusal in status.GeoLocations.Select(geo => geo.Refusal).OfType<Refusal>().Concat(status.Refusals))
            text.Sample(1, ("geo", refusal.GeoLocation));
    }

    private static void WriteNode(PrometheusText text, NodeStatus status)
    {
        text.Gauge("edgestream_build_info", "Always 1; the labels say which program this is.");
        text.Sample(1, ("version", status.Version), ("role", status.Role));
        text.Gauge("edgestream_uptime_seconds", "Time since the node started.");
        text.Sample(status.UptimeSeconds);
        text.Gauge("edgestream_problems", "What makes the node unhealthy, counted; /healthz and 'edgestream status' list it.");
        text.Sample(status.Problems.Count);
        text.Gauge("edgestream_process_resident_memory_bytes", "Memory of the process that is in RAM.");
        text.Sample(Environment.WorkingSet);
    }

    /// <summary>Absent where it does not apply: a rule on 0 must not ring for every edge.</summary>
    private static void WriteCluster(PrometheusText text, NodeStatus status, PartitionFigures[] partitions)
    {
        text.Gauge("edgestream_sc_active", "At an SC: 1 while it is the active one of its cluster, 0 while it stands by.");
        if (status.HasScActive)
            text.Sample(status.ScActive ? 1 : 0);

        text.Gauge("edgestream_sc_spus_online", "At the active SC: how many SPUs report to it.");
        if (status.HasSpusOnline)
            text.Sample(status.SpusOnline);

        text.Gauge("edgestream_sc_spus_known", "At the active SC: how many SPUs the cluster has, there or not.");
        if (status.HasSpusKnown)
            text.Sample(status.SpusKnown);

        text.Gauge("edgestream_spu_registered", "At an SPU: 1 while it is registered with an SC; without one it goes on with what it was told last.");
        if (status.HasSpuRegistered)
            text.Sample(status.SpuRegistered ? 1 : 0);

        text.Gauge("edgestream_spu_partitions_led", "At an SPU: how many partitions it leads.");
        if (status.HasSpuRegistered)
            text.Sample(partitions.Length);
    }

    private static void WriteStorage(PrometheusText text, StorageStatus storage)
    {
        text.Gauge("edgestream_storage_budget_bytes", "How much the data directory may use.");
        text.Sample(storage.BudgetBytes);
        text.Gauge("edgestream_storage_used_bytes", "How much of the budget is used.");
        text.Sample(storage.UsedBytes);
        text.Gauge("edgestream_disk_free_bytes", "What the disk has left for everybody.");
        text.Sample(storage.DiskFreeBytes);
        text.Counter("edgestream_storage_written_bytes_total", "Bytes that the process had the kernel write to disks.");
        text.Sample(storage.WrittenBytes);
        text.Counter("edgestream_storage_syncs_total", "Syncs of files and directories.");
        text.Sample(storage.Syncs);

        // A forecast that cannot be made is absent: as 0 it would ring the bell of everybody who asks for "full in a day".
        text.Gauge("edgestream_storage_full_in_seconds", "When the budget is used up at the rate of the last hour; absent where it does not grow.");
        if (storage.FullInSeconds > 0)
            text.Sample(storage.FullInSeconds);

        text.Gauge("edgestream_storage_written_bytes_per_year", "What the disk sees in a year at the rate of the last hour; absent at first.");
        if (storage.WrittenBytesPerYear > 0)
            text.Sample(storage.WrittenBytesPerYear);
    }

    private static void WritePartitions(PrometheusText text, PartitionFigures[] all)
    {
        text.Gauge("edgestream_partition_open", "1, or 0 where the partition could not be opened; then it has no other figures.");
        foreach (PartitionFigures partition in all)
            text.Sample(partition.Offsets is null ? 0 : 1, partition.Labels);

        PartitionFigures[] open = [.. all.Where(partition => partition.Offsets is not null)];
        text.Gauge("edgestream_partition_log_start_offset", "Offset of the first record held.");
        foreach (PartitionFigures partition in open)
            text.Sample(partition.Offsets!.Value.Start, partition.Labels);

        text.Gauge("edgestream_partition_mirrored_offset", "What lies below is durable at the hub.");
        foreach (PartitionFigures partition in open)
            text.Sample(partition.Offsets!.Value.Mirrored, partition.Labels);

        text.Gauge("edgestream_partition_durable_offset", "What lies below survives a power cut.");
        foreach (PartitionFigures partition in open)
            text.Sample(partition.Offsets!.Value.Durable, partition.Labels);

        text.Gauge("edgestream_partition_log_end_offset", "The offset that the next record will get.");
        foreach (PartitionFigures partition in open)
            text.Sample(partition.Offsets!.Value.End, partition.Labels);

        text.Gauge("edgestream_partition_edge_durable_offset", "At a hub: the durable offset of the edge's log, as it last told.");
        foreach (PartitionFigures partition in open.Where(partition => partition.Edge.Durable >= 0))
            text.Sample(partition.Edge.Durable, partition.Labels);

        text.Gauge("edgestream_partition_lag_bytes", "At a hub: what of the edge's log is not mirrored yet, as it last told.");
        foreach (PartitionFigures partition in open.Where(partition => partition.Edge.Durable >= 0))
            text.Sample(partition.Edge.LagBytes, partition.Labels);

        text.Gauge("edgestream_partition_lag_seconds", "At a hub: how old the oldest of that is.");
        foreach (PartitionFigures partition in open.Where(partition => partition.Edge.Durable >= 0))
            text.Sample(partition.Edge.LagMs / 1000m, partition.Labels);

        text.Gauge("edgestream_partition_size_bytes", "What the partition takes on the disk.");
        foreach (PartitionFigures partition in open)
            text.Sample(partition.SizeBytes, partition.Labels);

        text.Counter("edgestream_partition_appended_bytes_total", "Bytes of record batches stored since the node started.");
        foreach (PartitionFigures partition in open)
            text.Sample(partition.AppendedBytes, partition.Labels);

        WriteGaps(text, open);
    }

    /// <summary>Every reason, 0 included: an increase can only be seen from a value that was there before.</summary>
    private static void WriteGaps(PrometheusText text, PartitionFigures[] open)
    {
        text.Gauge("edgestream_partition_gaps", "Ranges of offsets that are known to be lost; those that come to touch become one.");
        foreach (PartitionFigures partition in open)
        {
            foreach ((GapReason reason, (long count, _)) in partition.Gaps)
                text.Sample(count, [.. partition.Labels, ("reason", Word(reason))]);
        }

        text.Counter("edgestream_partition_gap_records_total", "Records that are known to be lost, since the partition was made.");
        foreach (PartitionFigures partition in open)
        {
            foreach ((GapReason reason, (_, long records)) in partition.Gaps)
                text.Sample(records, [.. partition.Labels, ("reason", Word(reason))]);
        }
    }

    private static void WriteSources(PrometheusText text, IReadOnlyList<SourceStatus> statuses)
    {
        (string Name, SourceStatus Status)[] sources = Named(statuses);
        WriteStates(text, "source", sources);
        text.Counter("edgestream_source_received_messages_total", "Messages or events that came in.");
        foreach ((string name, SourceStatus source) in sources)
            text.Sample(source.Received, ("source", name));

        text.Counter("edgestream_source_stored_records_total", "Records that are durable.");
        foreach ((string name, SourceStatus source) in sources)
            text.Sample(source.Stored, ("source", name));

        text.Counter("edgestream_source_dropped_total", "Messages or events that were not stored and never will be, by why.");
        WriteDrops(text, "source", sources);
    }

    private static void WriteSinks(PrometheusText text, IReadOnlyList<SourceStatus> statuses)
    {
        (string Name, SourceStatus Status)[] sinks = Named(statuses);
        WriteStates(text, "sink", sinks);
        text.Counter("edgestream_sink_carried_out_records_total", "Records that were carried out.");
        foreach ((string name, SourceStatus sink) in sinks)
            text.Sample(sink.Stored, ("sink", name));

        text.Counter("edgestream_sink_dropped_total", "Records that were not carried out and never will be, by why.");
        WriteDrops(text, "sink", sinks);
    }

    /// <summary>Two may have one name, two samples may not have the same labels.</summary>
    private static (string Name, SourceStatus Status)[] Named(IReadOnlyList<SourceStatus> statuses) =>
    [
        .. statuses.GroupBy(device => device.Name)
            .SelectMany(same => same.Select((device, i) => (i == 0 ? device.Name : $"{device.Name} #{i + 1}", device))),
    ];

    private static void WriteStates(PrometheusText text, string kind, (string Name, SourceStatus Status)[] devices)
    {
        text.Gauge($"edgestream_{kind}_state", $"1 for the state that the {kind} is in, 0 for the others.");
        foreach ((string name, SourceStatus device) in devices)
        {
            foreach (string state in SourceStates)
                text.Sample(device.State == state ? 1 : 0, (kind, name), ("state", state));
        }
    }

    /// <summary>Every reason, 0 included, as for gaps.</summary>
    private static void WriteDrops(PrometheusText text, string kind, (string Name, SourceStatus Status)[] devices)
    {
        foreach ((string name, SourceStatus device) in devices)
        {
            foreach (string reason in DropReasons.All.Select(DropReasons.Word))
                text.Sample(device.DroppedByReason.FirstOrDefault(drops => drops.Reason == reason)?.Count ?? 0, (kind, name), ("reason", reason));
        }
    }

    private static void WriteGroups(PrometheusText text, IReadOnlyList<GroupShare> groups, PartitionFigures[] partitions)
    {
        Dictionary<PartitionId, long> durable = partitions.Where(one => one.Offsets is not null).ToDictionary(one => one.Id, one => one.Offsets!.Value.Durable);
        text.Gauge("edgestream_consumer_group_lag_records", "What is durable and the group has not dealt with yet, by offsets.");
        foreach (GroupShare share in groups.Where(share => durable.ContainsKey(share.Partition)))
            text.Sample(Math.Max(0, durable[share.Partition] - share.Offset), LabelsOf(share));

        text.Gauge("edgestream_consumer_group_read", "1 while a member of the group reads the partition.");
        foreach (GroupShare share in groups)
            text.Sample(share.Member is null ? 0 : 1, LabelsOf(share));
    }

    private static (string Name, string Value)[] LabelsOf(GroupShare share) =>
    [
        ("group", share.Group),
        ("topic", share.Partition.Topic),
        ("partition", share.Partition.Partition.ToString(CultureInfo.InvariantCulture)),
    ];

    private static void WriteUplinks(PrometheusText text, IReadOnlyList<UplinkStatus> uplinks)
    {
        text.Gauge("edgestream_uplink_connected", "1 while the hub is connected; that it is not is no problem by itself.");
        foreach (UplinkStatus uplink in uplinks)
            text.Sample(uplink.Connected ? 1 : 0, LabelsOf(uplink));

        text.Gauge("edgestream_uplink_lag_records", "Records that are durable here and not yet at the hub.");
        foreach (UplinkStatus uplink in uplinks)
            text.Sample(uplink.LagRecords, LabelsOf(uplink));

        text.Counter("edgestream_uplink_sent_bytes_total", "Bytes of record batches sent to the hub.");
        foreach (UplinkStatus uplink in uplinks)
            text.Sample(uplink.SentBytes, LabelsOf(uplink));

        text.Gauge("edgestream_uplink_lag_bytes", "Bytes of record batches that are durable here and not yet at the hub.");
        foreach (UplinkStatus uplink in uplinks)
            text.Sample(uplink.LagBytes, LabelsOf(uplink));

        text.Gauge("edgestream_uplink_lag_seconds", "How old the oldest record is that is not yet at the hub; 0 where there is none.");
        foreach (UplinkStatus uplink in uplinks)
            text.Sample(uplink.LagMs / 1000m, LabelsOf(uplink));

        text.Gauge("edgestream_uplink_drained_in_seconds", "When all is mirrored at the present rate; absent where that cannot be told.");
        foreach (UplinkStatus uplink in uplinks.Where(uplink => uplink.DrainedInSeconds > 0))
            text.Sample(uplink.DrainedInSeconds, LabelsOf(uplink));

        text.Counter("edgestream_uplink_wire_sent_bytes_total", "Bytes put on the wire to the hub, TLS included, the headers of TCP and IP not.");
        foreach (UplinkStatus uplink in uplinks)
            text.Sample(uplink.WireSentBytes, LabelsOf(uplink));

        text.Counter("edgestream_uplink_wire_received_bytes_total", "Bytes that came from the hub, counted the same way.");
        foreach (UplinkStatus uplink in uplinks)
            text.Sample(uplink.WireReceivedBytes, LabelsOf(uplink));

        text.Counter("edgestream_uplink_reconnects_total", "How often the link was made anew.");
        foreach (UplinkStatus uplink in uplinks)
            text.Sample(uplink.Reconnects, LabelsOf(uplink));
    }

    private static (string Name, string Value)[] LabelsOf(UplinkStatus uplink) => [("hub", uplink.Hub), ("geo", uplink.GeoLocation)];

    private static string Word(GapReason reason) => reason.ToString().ToLowerInvariant();

    /// <summary>A partition, read once, so that its figures belong together.</summary>
    private sealed record PartitionFigures(
        PartitionId Id, (string Name, string Value)[] Labels, LogOffsets? Offsets, EdgeProgress Edge, long SizeBytes, long AppendedBytes,
        IReadOnlyDictionary<GapReason, (long Count, long Records)> Gaps)
    {
        public static PartitionFigures Of(Partition partition)
        {
            var gaps = GapReasons.ToDictionary(reason => reason, _ => (Count: 0L, Records: 0L));
            (string, string)[] labels =
            [
                ("topic", partition.Id.Topic),
                ("partition", partition.Id.Partition.ToString(CultureInfo.InvariantCulture)),
                ("geo", partition.Info.GeoLocation ?? ""),
            ];
            if (!partition.IsOpen)
                return new PartitionFigures(partition.Id, labels, null, EdgeProgress.Unknown, 0, 0, gaps);

            IPartitionLog log = partition.Log;
            foreach (Gap gap in log.Gaps)
            {
                // A newer version may have noted a reason that this one does not know.
                (long count, long records) = gaps.GetValueOrDefault(gap.Reason);
                gaps[gap.Reason] = (count + 1, records + gap.Records);
            }

            return new PartitionFigures(partition.Id, labels, log.Offsets, partition.Edge, log.SizeInBytes(), log.AppendedBytes, gaps);
        }
    }
}
