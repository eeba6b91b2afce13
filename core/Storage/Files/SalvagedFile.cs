namespace EdgeStream.Storage.Files;

/// <summary>
/// A file on a dying disk, to read what can still be read: blocks that give an error read as zeros. Only for reading; owns the
/// file beneath.
/// </summary>
internal sealed class SalvagedFile(ILogFile file) : ILogFile
{
    private const int BlockSize = 4096;

    public long Length => file.Length;

    public int Read(Span<byte> buffer, long position)
    {
        try
        {
            return file.Read(buffer, position);
        }
        catch (IOException)
        {
            return ReadBlock(buffer, position);
        }
    }

    public void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position) => throw new NotSupportedException();

    public void SyncData() => throw new NotSupportedException();

    public void Truncate(long length) => throw new NotSupportedException();

    public void Allocate(long length) => throw new NotSupportedException();

    public void Dispose() => file.Dispose();

    /// <summary>Up to the end of the block that the position is in, so that good blocks behind a bad one are not lost with it.</summary>
    private int ReadBlock(Span<byte> buffer, long position)
    {
        int size = (int)Math.Min(buffer.Length, Math.Min(BlockSize - (position % BlockSize), Math.Max(0, file.Length - position)));
        Span<byte> block = buffer[..size];
        try
        {
            return size == 0 ? 0 : file.Read(block, position);
        }
        catch (IOException)
        {
            block.Clear();
            return size;
        }
    }
}
