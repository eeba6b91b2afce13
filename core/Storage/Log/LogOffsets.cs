namespace EdgeStream.Storage.Log;

/// <summary>
/// The marks of a partition at one instant: <c>Start ≤ Mirrored ≤ Durable ≤ End</c>. Each is the offset of the first record
/// that is <i>not</i> yet so, and <c>Start</c> that of the first record held.
/// </summary>
/// <param name="Start">Log start offset: what lies below was dropped.</param>
/// <param name="Mirrored">What lies below is durable at the hub, as far as this node was told.</param>
/// <param name="Durable">What lies below survives a power cut. Readers and the uplink see no further than this.</param>
/// <param name="End">Log end offset (LEO): the offset that the next record will get.</param>
public readonly record struct LogOffsets(long Start, long Mirrored, long Durable, long End);

/// <summary>The offsets that appended records were given, both ends included.</summary>
public readonly record struct AppendedRange(long BaseOffset, long LastOffset);
