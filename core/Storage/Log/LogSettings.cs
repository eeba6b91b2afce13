using EdgeStream.Storage.Retention;

namespace EdgeStream.Storage.Log;

/// <summary>What a topic says of its logs. Can be changed while the log runs.</summary>
public sealed record LogSettings
{
    public static LogSettings Default { get; } = new();

    /// <summary>The most that one partition keeps, in bytes of its segments; null where only the budget bounds it.</summary>
    public long? RetentionBytes { get; init; }

    /// <summary>How long records are kept at least after they were stored, by the node's age clock; null for ever.</summary>
    public TimeSpan? RetentionAge { get; init; }

    public OverflowPolicy Overflow { get; init; }

    public SyncPolicy Sync { get; init; }

    /// <summary>
    /// Whether the records are meant to reach another node, an edge's the hub, and those of a topic that flows down its edge: what
    /// is dropped before it did is a gap, and what it has goes first. Otherwise this log is where they end, and retention is no loss.
    /// </summary>
    public bool IsMirrored { get; init; }
}
