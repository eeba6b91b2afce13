namespace EdgeStream.Storage.Log;

/// <summary>Sizes of one partition's log, in bytes. They may differ from one opening to the next.</summary>
public sealed record LogOptions
{
    public static LogOptions Default { get; } = new();

    /// <summary>
    /// When the active segment reaches this size the next batch starts a new one. Small, because whole segments are what
    /// retention drops and the active one is what recovery reads through.
    /// </summary>
    public int SegmentBytes { get; init => field = Positive(value, nameof(SegmentBytes)); } = 8 * 1024 * 1024;

    /// <summary>
    /// How much disk a new segment takes at first; it grows in doubling steps up to <see cref="SegmentBytes"/>. As much as a
    /// segment where a full disk must not stop the log; little where thousands of partitions share a large disk.
    /// </summary>
    public int PreallocateBytes { get; init => field = Positive(value, nameof(PreallocateBytes)); } = 8 * 1024 * 1024;

    /// <summary>How much log one entry of the sparse indexes stands for.</summary>
    public int IndexIntervalBytes { get; init => field = Positive(value, nameof(IndexIntervalBytes)); } = 4096;

    /// <summary>
    /// The most that waits to be written; callers beyond it wait their turn. One batch is always let in, however large.
    /// </summary>
    public int MaxPendingBytes { get; init => field = Positive(value, nameof(MaxPendingBytes)); } = 8 * 1024 * 1024;

    private static int Positive(int value, string name) =>
        value > 0 ? value : throw new ArgumentOutOfRangeException(name, value, "must be greater than 0");
}
