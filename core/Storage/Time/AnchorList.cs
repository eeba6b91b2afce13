using System.Runtime.InteropServices;

namespace EdgeStream.Storage.Time;

/// <summary>The anchors of a log, their offsets ascending. For one thread at a time.</summary>
internal sealed class AnchorList
{
    private readonly List<ClockAnchor> _anchors = [];

    public int Count => _anchors.Count;

    public ClockAnchor[] ToArray() => [.. _anchors];

    public void Add(ClockAnchor anchor)
    {
        // The log is shorter than it was, after a power cut for instance: these offsets are given once more.
        foreach (ref ClockAnchor older in CollectionsMarshal.AsSpan(_anchors))
        {
            if (older.Offset > anchor.Offset)
                older = older with { Offset = anchor.Offset };
        }

        // A boot in which nothing was stored needs no anchors: a machine that starts over and over must not push out the others.
        if (Count > 0 && !anchor.Reading.Continues(_anchors[^1].Reading))
        {
            int first = Count - 1;
            while (first > 0 && Continues(first))
                first--;

            if (_anchors[first].Offset == anchor.Offset)
                _anchors.RemoveRange(first, Count - first);
        }

        _anchors.Add(anchor);
    }

    /// <summary>Removes what only records below an offset need; whether there was something.</summary>
    public bool RemoveBelow(long offset)
    {
        int first = Count - 1;
        while (first > 0 && _anchors[first].Offset > offset)
            first--;

        return RemoveBefore(first);
    }

    /// <summary>Removes what begins at an offset or behind it.</summary>
    public void RemoveFrom(long offset) => _anchors.RemoveAll(anchor => anchor.Offset >= offset);

    /// <summary>Removes the oldest, so that <paramref name="count"/> are left; perhaps one more.</summary>
    public void KeepNewest(int count) => RemoveBefore(Count - count);

    private bool RemoveBefore(int first)
    {
        if (first <= 0)
            return false;

        // The right time of what is left may be known from before only.
        int source = first;
        while (source > 0 && !_anchors[source].Reading.Synchronised && Continues(source))
            source--;

        bool keepSource = source < first && _anchors[source].Reading.Synchronised;
        int removed = keepSource ? first - 1 : first;
        if (keepSource)
            _anchors[first - 1] = _anchors[source];

        _anchors.RemoveRange(0, removed);
        return removed > 0;
    }

    private bool Continues(int index) => _anchors[index].Reading.Continues(_anchors[index - 1].Reading);
}
