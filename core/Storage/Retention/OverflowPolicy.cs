namespace EdgeStream.Storage.Retention;

/// <summary>What happens to a topic when there is no room for more.</summary>
public enum OverflowPolicy
{
    /// <summary>The oldest segment goes; what of it was not mirrored is noted as a gap.</summary>
    DropOldest,

    /// <summary>New records are refused until there is room; only what was mirrored goes.</summary>
    Reject,
}
