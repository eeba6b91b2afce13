namespace EdgeStream.Storage.Files;

/// <summary>Tells a full disk, which heals when there is room again, from a broken one, which does not.</summary>
public static class DiskErrors
{
    private const int NoSpace = 28; // ENOSPC
    private const int QuotaExceeded = 122; // EDQUOT

    /// <summary>Whether the error means that the file system, or its owner's quota, has no room left.</summary>
    public static bool IsFull(IOException error) => (error.HResult & 0xFFFF) is NoSpace or QuotaExceeded;

    /// <summary>What a write to a full file system raises, with words of one's own.</summary>
    public static IOException Full(string message) => new(message, NoSpace);
}
