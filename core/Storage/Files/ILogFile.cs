namespace EdgeStream.Storage.Files;

/// <summary>
/// One open file of the log. Reads are safe from any thread; writes, truncation and syncs come from one thread each.
/// Nothing written is durable until <see cref="SyncData"/> has returned.
/// </summary>
public interface ILogFile : IDisposable
{
    /// <summary>The file's length in bytes, as the file system tells it.</summary>
    long Length { get; }

    /// <summary>Reads up to <paramref name="buffer"/>'s length at <paramref name="position"/>; 0 at or past the end.</summary>
    int Read(Span<byte> buffer, long position);

    /// <summary>Writes all buffers, one behind the other, at <paramref name="position"/>.</summary>
    /// <exception cref="IOException">Any part may or may not have been written.</exception>
    void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position);

    /// <summary>Makes the contents, and what of the metadata is needed to read them, durable.</summary>
    /// <exception cref="IOException">
    /// The kernel may have dropped the pages that it could not write, and a second sync would not say so: what was written
    /// since the last good sync must count as lost.
    /// </exception>
    void SyncData();

    void Truncate(long length);

    /// <summary>
    /// Takes the disk space up to <paramref name="length"/>, so that writing there cannot fail for want of room; the file gets at
    /// least that length, new bytes read as zeros and old ones stay. Where the file system cannot do it, the length alone is set.
    /// </summary>
    /// <exception cref="IOException">There is no room; the file may have grown, but by zeros only.</exception>
    void Allocate(long length);
}
