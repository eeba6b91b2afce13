using EdgeStream.Storage.Files;

namespace EdgeStream.Testing.Simulated;

/// <summary>An open file of a simulated disk: it stays the same file whatever becomes of its name.</summary>
internal sealed class SimulatedFile(SimulatedDisk disk, string path, int inode, bool writable) : ILogFile
{
    private int _closed;

    public long Length
    {
        get
        {
            ThrowIfClosed();
            return disk.LengthOf(inode);
        }
    }

    public int Read(Span<byte> buffer, long position)
    {
        ThrowIfClosed();
        return disk.Read(inode, buffer, position);
    }

    public void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position)
    {
        byte[] data = new byte[buffers.Sum(buffer => buffer.Length)];
        int at = 0;
        foreach (ReadOnlyMemory<byte> buffer in buffers)
        {
            buffer.Span.CopyTo(data.AsSpan(at));
            at += buffer.Length;
        }

        Change(new DiskOperation(OperationKind.Write, path, inode) { Position = position, Data = data });
    }

    public void SyncData()
    {
        ThrowIfClosed();
        disk.Sync(path, inode);
    }

    public void Truncate(long length) => Change(new DiskOperation(OperationKind.Truncate, path, inode) { Position = length });

    public void Allocate(long length) => Change(new DiskOperation(OperationKind.Allocate, path, inode) { Position = length });

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _closed, 1) == 0)
            disk.Closed();
    }

    private void Change(DiskOperation operation)
    {
        ThrowIfClosed();
        if (!writable)
            throw new UnauthorizedAccessException($"'{path}' was opened for reading");

        disk.Change(operation);
    }

    private void ThrowIfClosed() => ObjectDisposedException.ThrowIf(Volatile.Read(ref _closed) != 0, this);
}
