using System.Text;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;

namespace EdgeStream.Storage.Tests.Log.Crashes;

/// <summary>All that a reader gets to see of a log, by offset, after it was checked to be in order.</summary>
internal sealed class LogContents
{
    private readonly SortedDictionary<long, string> _values = [];
    private readonly Func<Gap, bool> _mayForget;

    private LogContents(LogOffsets offsets, IReadOnlyList<Gap> gaps, Func<Gap, bool> mayForget)
    {
        Offsets = offsets;
        Gaps = gaps;
        _mayForget = mayForget;
    }

    public LogOffsets Offsets { get; }

    public IReadOnlyList<Gap> Gaps { get; }

    public IReadOnlyDictionary<long, string> Values => _values;

    /// <exception cref="LogViolationException">A hole is no gap, or a value was never submitted, or not in this order.</exception>
    public static LogContents Read(PartitionLog log, LogUnderTest test)
    {
        LogOffsets offsets = log.Offsets;
        var records = new List<(long Offset, string Value)>();
        for (long from = offsets.Start; from < offsets.Durable;)
            from = ReadOn(log, from, offsets.Durable, records);

        // Asked for last: retention may have dropped what the reader was about to read.
        var contents = new LogContents(offsets, log.Gaps, test.MayForget);
        contents.Take(records);
        return contents;
    }

    public bool IsInGap(long offset) => Gaps.Any(gap => gap.First <= offset && offset <= gap.Last);

    /// <summary>Whether the offset lies in a gap that excuses even what was durable.</summary>
    public bool IsForgotten(long offset) => Gaps.Any(gap => gap.First <= offset && offset <= gap.Last && _mayForget(gap));

    private void Take(List<(long Offset, string Value)> records)
    {
        long next = 0;
        int last = -1;
        foreach ((long offset, string value) in records)
        {
            RequireGap(next, offset);
            if (offset < next)
                throw new LogViolationException($"offset {offset} comes after {next - 1}");

            int ordinal = TestValue.OrdinalOf(value)
                ?? throw new LogViolationException($"offset {offset} holds '{value}', which nobody has appended");
            if (ordinal <= last)
                throw new LogViolationException($"offset {offset} holds value {ordinal}, which was appended before value {last}");

            (next, last) = (offset + 1, ordinal);
            _values.Add(offset, value);
        }

        RequireGap(next, Offsets.Durable);
    }

    private void RequireGap(long from, long to)
    {
        for (long offset = from; offset < to; offset++)
        {
            if (!IsInGap(offset))
                throw new LogViolationException($"offset {offset} of {Offsets} is missing, and no gap accounts for it");
        }
    }

    /// <summary>Reads on as far as one reader gets; where the next one has to start.</summary>
    private static long ReadOn(PartitionLog log, long from, long end, List<(long Offset, string Value)> records)
    {
        try
        {
            using LogReader reader = log.OpenReader(from);
            while (reader.NextOffset < end)
            {
                from = reader.NextOffset;
                using LogSlice slice = reader.Read(maxBytes: 2000, endOffset: end);
                records.AddRange(RecordsOf(slice).Where(record => record.Offset >= from));
                if (reader.NextOffset == from)
                    throw new LogViolationException($"a reader stands still at {from}, but {end} is durable");
            }

            return end;
        }
        catch (OffsetOutOfRangeException dropped) when (dropped.Start > from)
        {
            return dropped.Start;
        }
    }

    private static IEnumerable<(long Offset, string Value)> RecordsOf(LogSlice slice)
    {
        foreach ((_, ReadOnlyMemory<byte> batch) in RecordBatches.Split(slice.Batches))
        {
            using RecordBatchReader reader = RecordBatchReader.Open(batch);
            while (reader.TryRead(out Record record))
                yield return (record.Offset, Encoding.UTF8.GetString(record.Value.GetValueOrDefault().Span));
        }
    }
}
