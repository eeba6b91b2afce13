namespace EdgeStream.Devices;

public enum SourceState
{
    /// <summary>Not working yet.</summary>
    Starting,

    Running,

    /// <summary>Failed, and will be tried again.</summary>
    Waiting,

    Stopped,
}

/// <summary>A source at one instant.</summary>
/// <param name="Name">Its name.</param>
/// <param name="State">What it does.</param>
/// <param name="LastError">Why it waits, what does not work of it, or why it last dropped something; null where nothing of that happened.</param>
/// <param name="LastErrorAge">How long ago that was; null where it is so now.</param>
/// <param name="Shortfall">What does not work though it runs; null where all does.</param>
/// <param name="Received">Messages or events that came in.</param>
/// <param name="Stored">Records that are durable.</param>
/// <param name="Incomplete">Records that are stored, or will be, without something that was to be read from them.</param>
/// <param name="Dropped">How many messages or events were not stored and never will be, by why; without those that are 0.</param>
public sealed record SourceStatus(
    string Name, SourceState State, string? LastError, TimeSpan? LastErrorAge, Shortfall? Shortfall, long Received, long Stored, long Incomplete,
    IReadOnlyList<(DropReason Reason, long Count)> Dropped);
