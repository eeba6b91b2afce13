namespace EdgeStream.Storage.Gaps;

/// <summary>
/// Gaps in memory, ascending and without overlaps. Gaps that touch and have one reason are one. Immutable, but that the array behind
/// it may be shared with the next one, which has more of it: so a gap behind the others, the usual case, is added in constant time.
/// </summary>
public sealed class KnownGaps(Gap[] items, int count)
{
    public int Count { get; } = count;

    public Gap this[int index] => items[index];

    public IReadOnlyList<Gap> AsList() => new ArraySegment<Gap>(items, 0, Count);

    public Gap[] ToArray() => items[..Count];

    /// <summary>Index of the first gap that ends at an offset or behind it; <see cref="Count"/> where there is none.</summary>
    public int FirstEndingAtOrBehind(long offset)
    {
        int low = 0, high = Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (items[middle].Last < offset)
                low = middle + 1;
            else
                high = middle;
        }

        return low;
    }

    /// <summary>Whether any of a range of offsets is lost.</summary>
    public bool Touches(long first, long last) => FirstEndingAtOrBehind(first) is var at && at < Count && items[at].First <= last;

    /// <summary>The parts of a range of offsets that no gap covers.</summary>
    public IReadOnlyList<(long First, long Last)> Uncovered(long first, long last)
    {
        var parts = new List<(long First, long Last)>();
        for (int i = FirstEndingAtOrBehind(first); i < Count && items[i].First <= last; i++)
        {
            if (items[i].First > first)
                parts.Add((first, items[i].First - 1));

            first = items[i].Last + 1;
        }

        if (first <= last)
            parts.Add((first, last));

        return parts;
    }

    /// <summary>These and one more, which overlaps none of them. Only the newest may be asked.</summary>
    public KnownGaps With(Gap gap)
    {
        if (Count > 0 && (gap.First <= items[Count - 1].Last || AreOne(items[Count - 1], gap)))
        {
            Gap[] merged = AreOne(items[Count - 1], gap) && gap.First > items[Count - 1].Last
                ? [.. items[..(Count - 1)], Join(items[Count - 1], gap)]
                : Merge([.. items[..Count], gap]);
            return new KnownGaps(merged, merged.Length);
        }

        Gap[] room = items;
        if (Count == items.Length)
        {
            room = new Gap[Math.Max(16, 2 * Count)];
            items.CopyTo(room, 0);
        }

        room[Count] = gap;
        return new KnownGaps(room, Count + 1);
    }

    /// <summary>Sorts gaps and joins those that touch, or overlap, and have one reason.</summary>
    public static Gap[] Merge(IEnumerable<Gap> gaps)
    {
        var merged = new List<Gap>();
        foreach (Gap gap in gaps.OrderBy(gap => gap.First))
        {
            if (merged.Count > 0 && AreOne(merged[^1], gap))
                merged[^1] = Join(merged[^1], gap);
            else
                merged.Add(gap);
        }

        return [.. merged];
    }

    private static bool AreOne(Gap before, Gap gap) => before.Reason == gap.Reason && gap.First <= before.Last + 1 && gap.First >= before.First;

    private static Gap Join(Gap a, Gap b) => new(
        a.First,
        Math.Max(a.Last, b.Last),
        b.Last <= a.Last ? a.Bytes : a.Bytes + b.Bytes,
        a.MinTimestamp < 0 ? b.MinTimestamp : b.MinTimestamp < 0 ? a.MinTimestamp : Math.Min(a.MinTimestamp, b.MinTimestamp),
        Math.Max(a.MaxTimestamp, b.MaxTimestamp),
        a.Reason,
        Math.Max(a.NotedAt, b.NotedAt));
}
