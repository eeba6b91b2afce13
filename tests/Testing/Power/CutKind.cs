namespace EdgeStream.Testing.Power;

/// <summary>What a power cut leaves of a file system's journal; the values are those of the kernel's shutdown call.</summary>
public enum CutKind : uint
{
    /// <summary>The running transaction gets to the disk, file contents that were not synced do not.</summary>
    JournalFlushed = 1,

    /// <summary>Nothing gets to the disk any more.</summary>
    JournalLost = 2,
}
