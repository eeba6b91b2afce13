namespace EdgeStream.Storage.Time;

/// <summary>
/// What a log's anchors say about its timestamps. An anchor begins a stretch of offsets in which the wall clock ran evenly; the
/// next one ends it. Immutable, so another instance is news.
/// </summary>
public sealed class ClockHistory
{
    /// <summary>Stands for now where nobody can ask the clock that stamped: anything may have been stamped since.</summary>
    public const long AnyTime = 1L << 52;

    /// <summary>A larger change of the wall clock against the monotonic one, in ms, is a step; a smaller one is of no interest.</summary>
    public const long SmallestStep = 1000;

    /// <summary>How long, in ms, a record may be under way between the clock that stamps it and the log, and the other way round.</summary>
    public const long Slack = 60_000;

    private readonly ClockAnchor[] _anchors;
    private readonly Stretch[] _stretches;

    internal ClockHistory(ClockAnchor[] anchors)
    {
        _anchors = anchors;
        _stretches = new Stretch[anchors.Length];
        for (int i = 0; i < anchors.Length; i++)
        {
            bool afterStep = ContinuesAt(i) && IsStep(anchors[i - 1].Reading, anchors[i].Reading);
            _stretches[i] = new Stretch(ContinuesAt(i + 1), afterStep, EndOf(i), CorrectionOf(i));
        }
    }

    public ReadOnlySpan<ClockAnchor> Anchors => _anchors;

    /// <summary>Whether the clock was set in the last anchor's boot, and what was stamped before may still come in.</summary>
    internal bool IsSettling => _stretches[^1].AfterStep;

    /// <summary>Anchors one behind the other, as <see cref="ClockAnchor.Write"/> writes them; ends where they are none.</summary>
    public static ClockHistory Decode(ReadOnlySpan<byte> anchors)
    {
        var list = new AnchorList();
        for (; list.Count < AnchorFile.MaxAnchors && ClockAnchor.TryRead(anchors, out ClockAnchor anchor); anchors = anchors[ClockAnchor.Size..])
            list.Add(anchor);

        return new ClockHistory(list.ToArray());
    }

    /// <summary>What <see cref="Decode"/> takes: the anchors behind one that the other side has, all where it has none of these.</summary>
    /// <param name="known">The last anchor that the other side has, encoded; empty where it has none.</param>
    public byte[] EncodeBehind(ReadOnlySpan<byte> known)
    {
        int first = ClockAnchor.TryRead(known, out ClockAnchor anchor) ? Array.LastIndexOf(_anchors, anchor) + 1 : 0;
        byte[] bytes = new byte[(_anchors.Length - first) * ClockAnchor.Size];
        for (int i = first; i < _anchors.Length; i++)
            _anchors[i].Write(bytes.AsSpan((i - first) * ClockAnchor.Size));

        return bytes;
    }

    /// <summary>The last anchor, encoded; empty where there is none.</summary>
    public byte[] EncodeLast()
    {
        byte[] bytes = new byte[_anchors.Length == 0 ? 0 : ClockAnchor.Size];
        if (_anchors.Length > 0)
            _anchors[^1].Write(bytes);

        return bytes;
    }

    internal static bool IsStep(in ClockReading one, in ClockReading other) =>
        Math.Abs(one.WallAtBoot - other.WallAtBoot) > SmallestStep;

    /// <summary>The timestamp as it should have been; see <see cref="LogClock.Correct"/>.</summary>
    /// <param name="offset">The record's.</param>
    /// <param name="timestamp">As it is stored, in ms.</param>
    /// <param name="monotonic">Now, in the boot of the last anchor, in ms; or <see cref="AnyTime"/>.</param>
    public CorrectedTime Correct(long offset, long timestamp, long monotonic)
    {
        // Less than 0 is no time at all (Kafka has -1 for "none"), however near to it a clock may be that was never set.
        int at = IndexOf(offset);
        if (at < 0 || timestamp < 0)
            return new CorrectedTime(timestamp, TimeCertainty.Unknown);

        Stretch stretch = _stretches[at];
        long start = _anchors[at].Reading.Wall;
        bool isLive = at == _stretches.Length - 1;
        long end = isLive ? start + Math.Max(0, monotonic - _anchors[at].Reading.Monotonic) : stretch.End;
        if (timestamp >= start - Slack && timestamp <= end + Slack)
            return Apply(stretch.Correction, timestamp);

        // Stamped after the clock was set, stored before that was noticed.
        if (stretch.IsContinued)
        {
            long setTo = _anchors[at + 1].Reading.Wall;
            if (timestamp >= setTo - Slack && timestamp <= setTo)
                return Apply(_stretches[at + 1].Correction, timestamp);
        }

        // Stamped before the clock was set, stored after. Such a stretch is ended after a while, lest a device whose clock lags is
        // taken for this. One that was not ended may hold records of a boot whose anchors were lost.
        if (stretch.AfterStep && (stretch.IsContinued || isLive))
        {
            long setAt = _stretches[at - 1].End;
            if (timestamp >= setAt - Slack && timestamp <= setAt + Slack)
                return Apply(_stretches[at - 1].Correction, timestamp);
        }

        return new CorrectedTime(timestamp, TimeCertainty.Unknown);
    }

    private static CorrectedTime Apply(long? correction, long timestamp) => correction switch
    {
        null => new CorrectedTime(timestamp, TimeCertainty.Unknown),
        0 => new CorrectedTime(timestamp, TimeCertainty.Right),
        long milliseconds => new CorrectedTime(timestamp + milliseconds, TimeCertainty.Corrected),
    };

    private bool ContinuesAt(int index) =>
        index > 0 && index < _anchors.Length && _anchors[index].Reading.Continues(_anchors[index - 1].Reading);

    /// <summary>The last stretch that begins at or below an offset; -1 where there is none.</summary>
    private int IndexOf(long offset)
    {
        int low = 0, high = _anchors.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (_anchors[middle].Offset <= offset)
                low = middle + 1;
            else
                high = middle;
        }

        return low - 1;
    }

    /// <summary>What the wall clock showed when the stretch ended, at the latest.</summary>
    private long EndOf(int index)
    {
        ClockReading start = _anchors[index].Reading;
        if (ContinuesAt(index + 1))
            return start.Wall + (_anchors[index + 1].Reading.Monotonic - start.Monotonic);

        // The machine was stopped, and nobody knows when; but before a later boot knew the time.
        for (int i = index + 1; i < _anchors.Length; i++)
        {
            if (_anchors[i].Reading.Synchronised)
                return Math.Max(start.Wall, _anchors[i].Reading.Wall);
        }

        return long.MaxValue - Slack;
    }

    /// <summary>What to add to timestamps of the stretch, in ms; null where it is not known.</summary>
    private long? CorrectionOf(int index)
    {
        ClockReading start = _anchors[index].Reading;
        if (start.Synchronised)
            return 0;

        // Without an end, anything that a device stamps looks as if this clock could have stamped it.
        if (index < _anchors.Length - 1 && !ContinuesAt(index + 1))
            return null;

        for (int i = index; ContinuesAt(i + 1); i++)
        {
            if (_anchors[i + 1].Reading.Synchronised)
                return _anchors[i + 1].Reading.WallAtBoot - start.WallAtBoot;
        }

        for (int i = index; ContinuesAt(i); i--)
        {
            if (_anchors[i - 1].Reading.Synchronised)
                return _anchors[i - 1].Reading.WallAtBoot - start.WallAtBoot;
        }

        return null;
    }

    /// <param name="IsContinued">The next stretch is of the same boot, so this one's end is known.</param>
    /// <param name="AfterStep">The stretch before is of the same boot, and the clock was set between them.</param>
    /// <param name="End">What the wall clock showed at the end, at the latest.</param>
    /// <param name="Correction">What to add to timestamps, in ms; null where it is not known.</param>
    private readonly record struct Stretch(bool IsContinued, bool AfterStep, long End, long? Correction);
}
