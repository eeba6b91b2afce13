namespace EdgeStream.Cluster.Nats;

internal enum PublishResult
{
    /// <summary>A majority of the stream's replicas has it.</summary>
    Stored,

    /// <summary>It is not stored: the stream's last message is another than was expected.</summary>
    Misplaced,

    /// <summary>It is not stored: there is no room.</summary>
    Full,

    /// <summary>It may be stored or not, or may still come to be.</summary>
    Unknown,
}

/// <summary>What became of a message that was sent.</summary>
/// <param name="Result">In a word.</param>
/// <param name="Sequence">Where it lies in the stream, if it is stored.</param>
/// <param name="Problem">Why it is not, for people.</param>
internal readonly record struct PublishOutcome(PublishResult Result, long Sequence, string Problem)
{
    public static PublishOutcome Stored(long sequence) => new(PublishResult.Stored, sequence, "");

    public static PublishOutcome Misplaced(string problem) => new(PublishResult.Misplaced, 0, problem);

    public static PublishOutcome Full(string problem) => new(PublishResult.Full, 0, problem);

    public static PublishOutcome Unknown(string problem) => new(PublishResult.Unknown, 0, problem);
}
