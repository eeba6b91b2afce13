using EdgeStream.Storage.Gaps;

namespace EdgeStream.Mirror;

/// <summary>Gaps on the wire.</summary>
internal static class MirrorGaps
{
    /// <param name="topic">Whose gap it is.</param>
    /// <param name="gap">The gap.</param>
    /// <param name="durable">Upward: the durable end of the log that it is a gap of.</param>
    public static V1.MirrorGap ToMessage(string topic, Gap gap, long durable = 0) => new()
    {
        Topic = topic,
        FirstOffset = gap.First,
        LastOffset = gap.Last,
        Bytes = gap.Bytes,
        MinTimestamp = gap.MinTimestamp,
        MaxTimestamp = gap.MaxTimestamp,
        Reason = gap.Reason.ToString().ToLowerInvariant(),
        NotedAt = gap.NotedAt,
        Durable = durable,
    };

    /// <summary>The gap as it was sent; a reason that a newer edge has counts as damage.</summary>
    public static Gap FromMessage(V1.MirrorGap gap) => new(
        gap.FirstOffset,
        gap.LastOffset,
        Math.Max(0, gap.Bytes),
        gap.MinTimestamp,
        gap.MaxTimestamp,
        Enum.TryParse(gap.Reason, ignoreCase: true, out GapReason reason) && Enum.IsDefined(reason) ? reason : GapReason.Damage,
        gap.NotedAt);
}
