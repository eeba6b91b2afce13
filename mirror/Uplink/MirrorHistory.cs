using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;

namespace EdgeStream.Mirror.Uplink;

/// <summary>Whether a log and its copy at the hub have the same history.</summary>
internal static class MirrorHistory
{
    /// <summary>
    /// Compares the hub's last batch with the log's own at that offset; null where they are the same, or the log does not hold it
    /// any more.
    /// </summary>
    /// <remarks>
    /// Both have grown by appending only. If the last batch of the shorter one is the same, so is all before it; the checksum
    /// covers offsets and times within the batch as well as what was written.
    /// </remarks>
    /// <exception cref="IOException">The log cannot be read.</exception>
    public static string? FindDifference(PartitionLog log, V1.TopicOpened hub)
    {
        LogOffsets offsets = log.Offsets;
        if (hub.ResumeOffset > offsets.Durable)
            return $"the hub is at offset {hub.ResumeOffset}, but this log ends at {offsets.Durable}; {WayOut}";

        if (hub.LastBatchOffset < offsets.Start || log.FindGap(hub.LastBatchOffset) is not null)
            return null;

        using LogReader reader = log.OpenReader(hub.LastBatchOffset);
        using LogSlice slice = reader.Read(RecordBatchHeader.Size);
        return RecordBatchHeader.TryRead(slice.Batches.Span, out RecordBatchHeader own, out _)
            && own.BaseOffset == hub.LastBatchOffset && own.Crc == hub.LastBatchCrc
            ? null
            : $"the hub holds other records than this log at offset {hub.LastBatchOffset}; {WayOut}";
    }

    private const string WayOut =
        "this card was restored from an old image, or copied; nothing was changed; 'edgestream join HUB --token TOKEN --replace' goes on behind what the hub has";
}
