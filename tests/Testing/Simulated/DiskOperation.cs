namespace EdgeStream.Testing.Simulated;

/// <summary>A name of the tree that leads elsewhere from now on. 0 stands for nothing.</summary>
/// <param name="Path">The whole path.</param>
/// <param name="Before">The inode that it led to.</param>
/// <param name="After">The inode that it leads to now.</param>
public readonly record struct NameChange(string Path, int Before, int After);

/// <summary>One call that changed the simulated disk, or made something on it durable. Immutable.</summary>
/// <param name="Kind">Which call.</param>
/// <param name="Path">What it was called for; a file's name may have changed since it was opened.</param>
/// <param name="Inode">The file or directory.</param>
public sealed record DiskOperation(OperationKind Kind, string Path, int Inode)
{
    /// <summary>Where a write starts; the length that a truncation or an allocation asked for.</summary>
    public long Position { get; init; }

    /// <summary>What a write has written.</summary>
    public byte[] Data { get; init; } = [];

    /// <summary>What became of names; all of it together or none of it.</summary>
    public IReadOnlyList<NameChange> Names { get; init; } = [];

    /// <summary>A sync covers the operations before this index: those that were complete when it began.</summary>
    public int Covers { get; init; }

    public override string ToString()
    {
        string subject = $"{Kind} {System.IO.Path.GetFileName(Path)}#{Inode}";
        return Kind switch
        {
            OperationKind.Write => $"{subject} {Position}..{Position + Data.Length}",
            OperationKind.Truncate or OperationKind.Allocate => $"{subject} to {Position}",
            OperationKind.Sync or OperationKind.FailedSync or OperationKind.SyncDirectory => $"{subject} covering what is before {Covers}",
            OperationKind.Rename => $"{subject} from {System.IO.Path.GetFileName(Names[0].Path)}",
            _ => subject,
        };
    }
}
