using EdgeStream.Storage.Files;

namespace EdgeStream.Storage.Segments;

/// <summary>A segment that may still be written or synced: the one that takes appends, or one just sealed.</summary>
internal sealed class WritableSegment(long baseOffset, ILogFile file, long capacity, SegmentIndex index) : IDisposable
{
    public long BaseOffset => baseOffset;

    public ILogFile File => file;

    public SegmentIndex Index => index;

    /// <summary>Where the next batch goes, in bytes. Belongs to the writer.</summary>
    public long Position { get; set; }

    /// <summary>
    /// How long the file is, in bytes: up to here the disk has given room. What lies behind <see cref="Position"/> is zeros, or
    /// what the file held when it was an older segment. Belongs to the writer.
    /// </summary>
    public long Capacity { get; set; } = capacity;

    public void Dispose() => file.Dispose();
}
