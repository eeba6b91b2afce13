namespace EdgeStream.Storage.Log;

/// <summary>
/// When a log syncs. Whatever it is, <see cref="AckLevel.Durable"/>, readers and the uplink wait for the sync: the policy trades
/// their delay for the card's life, never the meaning of an acknowledgement.
/// </summary>
public readonly record struct SyncPolicy
{
    // As long as Linux itself leaves written data in memory by default.
    private static readonly TimeSpan OsInterval = TimeSpan.FromSeconds(30);

    private SyncPolicy(TimeSpan interval) => Interval = interval;

    /// <summary>The default: as soon as something waits, all that waits at once (group commit).</summary>
    public static SyncPolicy Commit => default;

    /// <summary>When the operating system would by itself, which is every 30 s; and at the end of each segment.</summary>
    public static SyncPolicy Os => new(OsInterval);

    /// <summary>The least time between two syncs; zero with <see cref="Commit"/>.</summary>
    public TimeSpan Interval { get; }

    /// <exception cref="ArgumentOutOfRangeException">Not between 1 ms and one hour.</exception>
    public static SyncPolicy Every(TimeSpan interval) =>
        interval >= TimeSpan.FromMilliseconds(1) && interval <= TimeSpan.FromHours(1)
            ? new SyncPolicy(interval)
            : throw new ArgumentOutOfRangeException(nameof(interval), interval, "a sync interval is 1ms to 1h");
}
