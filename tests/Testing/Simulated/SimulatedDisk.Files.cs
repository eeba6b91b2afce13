namespace EdgeStream.Testing.Simulated;

/// <content>What open files ask for.</content>
public sealed partial class SimulatedDisk
{
    internal long LengthOf(int inode)
    {
        lock (_step)
            return _contents[inode].Length;
    }

    internal int Read(int inode, Span<byte> buffer, long position)
    {
        Begin(OperationKind.Read);
        lock (_step)
            return _contents[inode].Read(buffer, position);
    }

    /// <summary>Changes a file's bytes. Where the call is to fail, any part of it may have been done.</summary>
    internal void Change(DiskOperation operation)
    {
        BeforeOperation?.Invoke();
        IOException? error = Faults?.Next(operation.Kind);
        lock (_step)
        {
            if (error is not null && operation.Kind != OperationKind.Truncate)
                operation = PartOf(operation);

            if (error is null || operation.Kind != OperationKind.Truncate)
            {
                _contents[operation.Inode].Apply(operation);
                _operations.Add(operation);
            }
        }

        if (error is not null)
            throw error;
    }

    /// <summary>
    /// A sync covers what was complete when it began. A failed one leaves it open what got to the disk, and no later one makes
    /// up for it: the kernel counts those pages as clean.
    /// </summary>
    internal void Sync(string path, int inode)
    {
        int covers = OperationCount;
        BeforeOperation?.Invoke();
        IOException? error = Faults?.Next(OperationKind.Sync);
        OperationKind kind = error is null ? OperationKind.Sync : OperationKind.FailedSync;
        lock (_step)
            _operations.Add(new DiskOperation(kind, path, inode) { Covers = covers });

        if (error is not null)
            throw error;
    }

    internal void Closed() => Interlocked.Decrement(ref _openFiles);

    private SimulatedFile Open(string path, bool writable)
    {
        Begin(OperationKind.Open);
        lock (_step)
            return Handle(path, Find(path), writable);
    }

    private SimulatedFile Handle(string path, int inode, bool writable)
    {
        Interlocked.Increment(ref _openFiles);
        return new SimulatedFile(this, path, inode, writable);
    }

    private DiskOperation PartOf(DiskOperation operation)
    {
        if (operation.Kind == OperationKind.Allocate)
            return operation with { Position = Math.Max(_contents[operation.Inode].Length, FaultRandom.NextInt64(operation.Position + 1)) };

        int from = FaultRandom.Next(3) == 0 ? FaultRandom.Next(operation.Data.Length + 1) : 0;
        int to = FaultRandom.Next(from, operation.Data.Length + 1);
        return operation with { Position = operation.Position + from, Data = operation.Data[from..to] };
    }
}
