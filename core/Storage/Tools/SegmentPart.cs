using EdgeStream.Storage.Records;

namespace EdgeStream.Storage.Tools;

/// <summary>A stretch of a segment file: one good batch, or something in a place where there should be one.</summary>
/// <param name="Position">Where it starts, in bytes.</param>
/// <param name="EndPosition">Where it ends; the same where offsets are missing without a trace.</param>
/// <param name="First">The first offset that it holds, or should.</param>
/// <param name="Next">The offset behind the last.</param>
/// <param name="Header">The batch's header; null where none can be read.</param>
/// <param name="Bytes">The whole batch, where there is a header; valid until the next part is asked for.</param>
/// <param name="Problem">What is wrong, in a few words; null for a good batch.</param>
public readonly record struct SegmentPart(
    long Position, long EndPosition, long First, long Next, RecordBatchHeader? Header, ReadOnlyMemory<byte> Bytes, string? Problem)
{
    public bool IsGood => Problem is null;

    public long Last => Next - 1;
}
