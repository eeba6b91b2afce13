namespace EdgeStream.Storage.Gaps;

/// <summary>Why records are not there any more.</summary>
public enum GapReason
{
    /// <summary>The topic's retention by bytes or age dropped them before they were mirrored.</summary>
    Retention = 1,

    /// <summary>The data directory's budget or the disk was full, and the topic drops its oldest.</summary>
    Overflow = 2,

    /// <summary>They had been durable and cannot be read any more.</summary>
    Damage = 3,

    /// <summary>A power cut took them before they were durable, while records behind them survived.</summary>
    Torn = 4,

    /// <summary>A person dropped them.</summary>
    Operator = 5,

    /// <summary>Their time to live was over before a hub could send them down.</summary>
    Expired = 6,

    /// <summary>The hub refused them for what they are; their bytes are in the topic <c>dead-letter</c>.</summary>
    Refused = 7,
}

/// <summary>A range of offsets that is known to be lost. Its offsets are never given again.</summary>
/// <param name="First">The first lost offset.</param>
/// <param name="Last">The last lost offset.</param>
/// <param name="Bytes">How much of the log it was, in bytes; 0 where that cannot be told.</param>
/// <param name="MinTimestamp">The earliest timestamp (ms since 1970) around the lost records; -1 where it cannot be told.</param>
/// <param name="MaxTimestamp">The latest; -1 where it cannot be told.</param>
/// <param name="Reason">Why.</param>
/// <param name="NotedAt">When it was noted, ms since 1970 by this machine's clock.</param>
public sealed record Gap(
    long First, long Last, long Bytes, long MinTimestamp, long MaxTimestamp, GapReason Reason, long NotedAt)
{
    public long Records => Last - First + 1;
}
