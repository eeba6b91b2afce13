namespace EdgeStream.Devices;

/// <summary>Why something was not stored and never will be. Few and fixed: each is a series of its own in the metrics.</summary>
public enum DropReason
{
    /// <summary>It can never be stored or carried out as it is: too large, no such topic, no rule for it.</summary>
    Refused,

    /// <summary>It came faster than the source's <c>rate-limit</c> lets through.</summary>
    RateLimit,

    /// <summary>The kernel's buffer was full before anybody could read it.</summary>
    KernelBufferOverflow,

    /// <summary>More waited for the log than a source may keep in memory.</summary>
    QueueFull,

    /// <summary>It was read, but says nothing that can be understood.</summary>
    BadValue,

    /// <summary>It was due and could not be read: a file that is gone, a sensor that does not answer, a program that failed.</summary>
    NotReadable,

    /// <summary>A line beyond the longest that is taken.</summary>
    TooLong,

    /// <summary>It waited for a subscriber of the node's broker that is away or does not keep up. Whether it is stored is another matter.</summary>
    SlowSubscriber,
}

public static class DropReasons
{
    private static readonly string[] Words = ["refused", "rate-limit", "kernel-buffer-overflow", "queue-full", "bad-value", "not-readable", "too-long", "slow-subscriber"];

    public static IReadOnlyList<DropReason> All { get; } = Enum.GetValues<DropReason>();

    /// <summary>As it stands in <c>status</c> and in the metrics.</summary>
    public static string Word(this DropReason reason) => Words[(int)reason];
}
