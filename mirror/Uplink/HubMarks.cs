using EdgeStream.Storage.Log;

namespace EdgeStream.Mirror.Uplink;

/// <summary>The marks of one hub among those of all that the edge has joined.</summary>
/// <param name="Marks">Those of all.</param>
/// <param name="Hub">Which one.</param>
public readonly record struct HubMarks(MirrorMarks Marks, string Hub)
{
    /// <summary>What the hub has durably: all records below <paramref name="offset"/>.</summary>
    public void Report(PartitionLog log, long offset) => Marks.Report(log, Hub, offset);

    /// <summary>What the hub has durably; the log's own mark until the hub has said where it stands.</summary>
    public long Of(PartitionLog log) => Marks.Find(log, Hub) ?? log.Offsets.Mirrored;
}
