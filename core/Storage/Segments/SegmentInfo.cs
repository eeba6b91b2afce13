namespace EdgeStream.Storage.Segments;

/// <summary>What is kept in memory of each segment of a log.</summary>
/// <param name="BaseOffset">The first offset that it holds; its file's name.</param>
/// <param name="Bytes">The length of its log file.</param>
/// <param name="IndexBytes">That of its index files.</param>
internal readonly record struct SegmentInfo(long BaseOffset, long Bytes, int IndexBytes = 0);
