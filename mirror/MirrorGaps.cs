using EdgeStream.Storage.Gaps;

namespace EdgeStream.Mirror;

/// <summary>Gaps on the wire.</summary>
internal static class MirrorGaps
{
    /// <summary>
    /// What is missing at an offset; null where nothing is. Where the ledger knows of nothing but the log begins later, another hub had
    /// the records when retention took them, or this hub had them once and has lost them: to it they are lost, as far as the ledger
    /// has nothing to say.
    /// </summary>
    /// <param name="next">The offset.</param>
    /// <param name="logStart">Where the log began, before the ledger was asked.</param>
    /// <param name="known">The gap in the ledger that the offset lies in, or the next one behind it.</param>
    /// <param name="now">When that is noted.</param>
    public static Gap? FindAt(long next, long logStart, Gap? known, DateTimeOffset now)
    {
        if (known?.First <= next)
            return known;

        return next < logStart
            ? new Gap(next, Math.Min(logStart, known?.First ?? long.MaxValue) - 1, Bytes: 0, -1, -1, GapReason.Retention, now.ToUnixTimeMilliseconds())
            : null;
    }

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
