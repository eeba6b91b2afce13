namespace EdgeStream.Testing.Simulated;

/// <summary>The calls of the storage seam that can fail. The first three change nothing, so they are not recorded.</summary>
public enum OperationKind
{
    List,
    Open,
    Read,
    Create,
    Write,
    Truncate,
    Allocate,
    Sync,
    FailedSync,
    Rename,
    Delete,
    CreateDirectory,
    SyncDirectory,
}
