namespace EdgeStream.Testing.Simulated;

/// <summary>What a file system promises of names that were not synced.</summary>
public enum CrashModel
{
    /// <summary>
    /// As ext4 does it: names are journaled in order, so those before some instant survive and those after it do not. Syncing a
    /// file whose own name is in the journal commits the journal.
    /// </summary>
    Journaled,

    /// <summary>
    /// What POSIX promises and no more: each change of a name survives or not, as long as it fits what survived before it, and
    /// only a sync of its directory makes it sure.
    /// </summary>
    Strict,
}
