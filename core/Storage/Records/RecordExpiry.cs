using System.Text;
using EdgeStream.Storage.Time;

namespace EdgeStream.Storage.Records;

/// <summary>
/// When records stop to count: so long after their timestamp as their header <see cref="HeaderName"/> says, else as their topic
/// does, else never.
/// </summary>
/// <param name="topicTimeToLive">The topic's; null where its records do not expire unless they say so themselves.</param>
public readonly struct RecordExpiry(TimeSpan? topicTimeToLive)
{
    /// <summary>A record's own time to live, as text such as <c>30s</c> or <c>10m</c>; goes before the topic's.</summary>
    public const string HeaderName = "edgestream-ttl";

    /// <summary>When a record expires that never does.</summary>
    public const long Never = long.MaxValue;

    // Longer than any time that can be written.
    private const int MaxTextLength = 32;

    /// <summary>Whether a record has a time to live of its own that cannot be read.</summary>
    public static bool HasUnreadableTimeToLive(in Record record) => OwnTimeToLive(record) is { } own && own == TimeSpan.Zero;

    /// <summary>
    /// From when on the record has expired, in milliseconds since 1970 by the clock that its timestamp is read against. One whose
    /// own time to live cannot be read has expired from the start: it is not to count for longer than was meant.
    /// </summary>
    public long ExpiresAt(in Record record)
    {
        if ((OwnTimeToLive(record) ?? topicTimeToLive) is not { } timeToLive)
            return Never;

        long life = (long)timeToLive.TotalMilliseconds;
        return record.Timestamp > Never - life ? Never : record.Timestamp + life;
    }

    /// <summary>From when on each record of a batch has expired.</summary>
    /// <param name="batch">One whole batch. One that cannot be read never expires: whoever reads it has to say what is wrong.</param>
    public long ExpiresAt(ReadOnlyMemory<byte> batch)
    {
        try
        {
            long last = long.MinValue;
            using RecordBatchReader reader = RecordBatchReader.Open(batch);
            while (last != Never && reader.TryRead(out Record record))
                last = Math.Max(last, ExpiresAt(record));

            return last;
        }
        catch (CorruptBatchException)
        {
            return Never;
        }
    }

    /// <summary>Null where the record has none, zero where it cannot be read.</summary>
    private static TimeSpan? OwnTimeToLive(in Record record)
    {
        foreach (RecordHeader header in record.Headers)
        {
            if (header.Key != HeaderName)
                continue;

            ReadOnlySpan<byte> text = header.Value.GetValueOrDefault().Span;
            return text.Length <= MaxTextLength && Durations.TryParse(Encoding.UTF8.GetString(text), out TimeSpan own) ? own : TimeSpan.Zero;
        }

        return null;
    }
}
