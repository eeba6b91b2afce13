using EdgeStream.Storage.Log;

namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// Whether the hub is told once more how far a topic is at the edge, which costs some 80 bytes: not where nothing has moved, and seldom
/// while the month's data is used up, because each two seconds would be 100 MB in a month. For one caller at a time.
/// </summary>
internal sealed class PositionPace(TimeProvider time)
{
    /// <summary>The least time between two while the month's data is used up.</summary>
    public static readonly TimeSpan Seldom = TimeSpan.FromMinutes(10);

    private (long Durable, long Mirrored)? _told;
    private long _at;

    /// <summary>If so, it counts as told.</summary>
    public bool IsDue(LogOffsets offsets, bool isMonthUsedUp)
    {
        (long, long) now = (offsets.Durable, offsets.Mirrored);
        if (now == _told || (isMonthUsedUp && _told is not null && time.GetElapsedTime(_at) < Seldom))
            return false;

        (_told, _at) = (now, time.GetTimestamp());
        return true;
    }
}
