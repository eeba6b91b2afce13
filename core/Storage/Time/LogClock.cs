using EdgeStream.Storage.Files;

namespace EdgeStream.Storage.Time;

/// <summary>
/// Remembers how the machine's clocks stood while a partition was written, so that timestamps from before the clock was set can
/// be put right when they are read; what is stored stays as it is. Advisory: whatever happens to its file costs corrections,
/// nothing else, and no error of the disk leaves this class. A log that is a copy takes over what its original has noted.
/// </summary>
/// <remarks>
/// <para>
/// An anchor is taken when a boot first opens the log, when the wall clock has stepped by more than a second against the monotonic
/// one, when it has become synchronised, and once more a minute after a step. Once synchronised in a boot, a clock that has not
/// stepped stays right, though the kernel may say otherwise after some hours without a time server.
/// </para>
/// <para>
/// Threads: <see cref="Note"/> for one at a time, and so <see cref="Adopt"/>; everything else from any, at any time. Memory and file hold
/// <see cref="AnchorFile.MaxAnchors"/> anchors at most; beyond that the oldest are forgotten.
/// </para>
/// </remarks>
public sealed class LogClock
{
    /// <summary>Its file in the partition's directory.</summary>
    public const string FileName = AnchorFile.FileName;

    // Fewer than fit, so that a full file is not rewritten with each anchor from there on.
    private const int KeptAnchors = AnchorFile.MaxAnchors * 3 / 4;
    private const long RetryAfter = 60_000;

    private readonly IAnchorStore _store;
    private readonly IClockSource? _clock;

    // Guards the list, the file, and the replacement of the history.
    private readonly Lock _lock = new();
    private readonly AnchorList _anchors = new();
    private volatile ClockHistory _history = new([]);

    // When to try again what could not be written, by the monotonic clock in ms.
    private long _retryAt = long.MaxValue;

    private LogClock(IAnchorStore store, IClockSource? clock)
    {
        _store = store;
        _clock = clock;
    }

    /// <summary>What is known at this instant.</summary>
    public ClockHistory History => _history;

    /// <summary>Now, as <see cref="ClockHistory.Correct"/> wants it.</summary>
    public long Monotonic => _clock?.Monotonic ?? ClockHistory.AnyTime;

    internal ReadOnlySpan<ClockAnchor> Anchors => _history.Anchors;

    /// <summary>Reads what is known of a log, and notes how the clocks stand now.</summary>
    /// <param name="files">The file system.</param>
    /// <param name="directory">The partition's, which exists.</param>
    /// <param name="clock">The machine's clocks; null for a copy, whose records were stamped elsewhere.</param>
    /// <param name="endOffset">The log's end, after recovery. What is known of offsets beyond it is forgotten.</param>
    public static LogClock Open(IStorageFiles files, string directory, IClockSource? clock, long endOffset) =>
        Open(new AnchorFile(files, directory), clock, endOffset);

    /// <summary>As with a directory, of anchors that are kept somewhere else.</summary>
    public static LogClock Open(IAnchorStore store, IClockSource? clock, long endOffset)
    {
        var log = new LogClock(store, clock);
        try
        {
            foreach (ClockAnchor anchor in log._store.Load())
                log._anchors.Add(anchor);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // Corrections are lost. It is overwritten, if it can be.
        }

        log._history = new ClockHistory(log._anchors.ToArray());
        log.Note(endOffset);
        return log;
    }

    /// <summary>
    /// Notes how the clocks stand, if they do otherwise than before. To be called about once a second, or with each commit before
    /// its offsets are given; where nothing has changed it costs a few system calls, no memory and no I/O.
    /// </summary>
    /// <param name="endOffset">The offset that the next record gets. Never less than in the call before.</param>
    public void Note(long endOffset)
    {
        if (_clock is null)
            return;

        ClockReading now = _clock.Read();
        bool isNews = IsNews(_history, now, endOffset);
        if (isNews || now.Monotonic >= Volatile.Read(ref _retryAt))
            Save(isNews ? [new ClockAnchor(endOffset, now)] : [], now.Monotonic);
    }

    /// <summary>
    /// Of a copy: takes over what its original has noted. What begins below the last that is known here goes in its place.
    /// See <see cref="ClockHistory.EncodeBehind"/>.
    /// </summary>
    public void Adopt(ReadOnlySpan<byte> anchors)
    {
        ReadOnlySpan<ClockAnchor> added = ClockHistory.Decode(anchors).Anchors;
        if (added.Length == 0)
            return;

        lock (_lock)
        {
            if (_anchors.Count > 0 && added[0].Offset < Anchors[^1].Offset)
            {
                _anchors.RemoveFrom(added[0].Offset);
                Volatile.Write(ref _retryAt, 0); // the file is to be written as a whole
            }

            Save(added, Environment.TickCount64);
        }
    }

    /// <summary>
    /// The timestamp as it should have been. Only what this machine's clock can have shown when the record was stored is corrected,
    /// give or take a minute; what a device has stamped by its own clock is not. Allocates nothing.
    /// </summary>
    /// <param name="offset">The record's.</param>
    /// <param name="timestamp">As it is stored: ms since 1970-01-01T00:00:00Z.</param>
    public CorrectedTime Correct(long offset, long timestamp) => _history.Correct(offset, timestamp, Monotonic);

    /// <summary>
    /// Forgets what only records below an offset need, in memory: the file is bounded anyhow. A log that is opened again says so again.
    /// </summary>
    public void Forget(long belowOffset)
    {
        lock (_lock)
        {
            if (_anchors.RemoveBelow(belowOffset))
                _history = new ClockHistory(_anchors.ToArray());
        }
    }

    private static bool IsNews(ClockHistory history, in ClockReading now, long endOffset)
    {
        if (history.Anchors.IsEmpty)
            return true;

        ref readonly ClockAnchor last = ref history.Anchors[^1];
        return !now.Continues(last.Reading)
            || ClockHistory.IsStep(last.Reading, now)
            || (now.Synchronised && !last.Reading.Synchronised)
            || last.Offset > endOffset
            || (history.IsSettling && now.Monotonic - last.Reading.Monotonic >= ClockHistory.Slack);
    }

    private void Save(ReadOnlySpan<ClockAnchor> added, long monotonic)
    {
        lock (_lock)
        {
            foreach (ClockAnchor anchor in added)
            {
                if (_store.Count >= AnchorFile.MaxAnchors || _anchors.Count >= AnchorFile.MaxAnchors)
                    _anchors.KeepNewest(KeptAnchors);

                _anchors.Add(anchor);
            }

            if (added.Length > 0)
                _history = new ClockHistory(_anchors.ToArray());

            try
            {
                if (added.Length == 1 && _retryAt == long.MaxValue && _store.Count < AnchorFile.MaxAnchors)
                    _store.Append(added[0]);
                else
                    _store.Replace(_anchors.ToArray());

                Volatile.Write(ref _retryAt, long.MaxValue);
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                // Known in memory, for as long as the process lives. The disk may be full only.
                Volatile.Write(ref _retryAt, monotonic + RetryAfter);
            }
        }
    }
}
