using EdgeStream.Storage.Files;
using EdgeStream.Storage.Segments;

namespace EdgeStream.Storage.Log;

/// <summary>A segment that may still be written or synced: the one that takes appends, or one just sealed.</summary>
internal sealed class ActiveSegment(long baseOffset, ILogFile file, int indexIntervalBytes) : IDisposable
{
    public long BaseOffset => baseOffset;

    public ILogFile File => file;

    public SegmentIndex Index { get; } = new(indexIntervalBytes);

    /// <summary>Where the next batch goes, in bytes. Belongs to the writer.</summary>
    public long Position { get; set; }

    public void Dispose() => file.Dispose();
}
