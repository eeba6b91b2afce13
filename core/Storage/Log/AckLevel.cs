namespace EdgeStream.Storage.Log;

/// <summary>What an acknowledgement promises.</summary>
public enum AckLevel
{
    /// <summary>The records are with the operating system: they survive a crash of the process, not a power cut.</summary>
    Written,

    /// <summary>The records were synced to the disk: they survive a power cut.</summary>
    Durable,

    /// <summary>The records are durable at the hub as well. Waits as long as the link is down.</summary>
    Mirrored,
}
