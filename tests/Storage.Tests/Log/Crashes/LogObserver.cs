using EdgeStream.Storage.Log;
using EdgeStream.Testing.Simulated;

namespace EdgeStream.Storage.Tests.Log.Crashes;

/// <summary>
/// Looks at a log before each operation of its disk, and notes which acknowledgements have been given and how far readers may
/// read. So what is noted is as old as can be told, and never older than it is.
/// </summary>
internal sealed class LogObserver
{
    private readonly SimulatedDisk _disk;
    private readonly bool _believesWritten;
    private readonly Lock _lock = new();
    private readonly List<(string[] Values, AckLevel Ack, Task<AppendedRange> Append)> _pending = [];
    private volatile PartitionLog? _log;
    private LogViolationException? _violation;

    /// <param name="disk">The disk of the log.</param>
    /// <param name="believesWritten">Plants a mistake: what was acknowledged as written is taken for durable.</param>
    public LogObserver(SimulatedDisk disk, bool believesWritten = false)
    {
        (_disk, _believesWritten) = (disk, believesWritten);
        disk.BeforeOperation = Observe;
    }

    public LogEvidence Evidence { get; } = new();

    /// <summary>The log that is open; null while there is none.</summary>
    public PartitionLog? Log
    {
        get => _log;
        set
        {
            _log = value;
            if (value is not null)
                Evidence.NoteIdentity(value.Manifest.Incarnation, _disk.OperationCount);

            Observe();
        }
    }

    public void Expect(string[] values, AckLevel ack, Task<AppendedRange> append)
    {
        lock (_lock)
            _pending.Add((values, ack, append));

        Observe();
    }

    /// <summary>Waits for all acknowledgements. Appends that have failed are passed to <paramref name="refused"/>.</summary>
    public async Task SettleAsync(Action<Exception> refused)
    {
        Task<AppendedRange>[] appends;
        lock (_lock)
            appends = [.. _pending.Select(pending => pending.Append)];

        foreach (Task<AppendedRange> append in appends)
        {
            try
            {
                await append;
            }
            catch (Exception error)
            {
                refused(error);
            }
        }

        Observe();
        if (_violation is { } violation)
            throw violation;
    }

    private void Observe()
    {
        // Outside of the lock: the log may be asking for an operation under a lock of its own.
        long durable = _log?.Offsets.Durable ?? 0;
        lock (_lock)
        {
            (string[] Values, AckLevel Ack, Task<AppendedRange> Append)[] done = [.. _pending.Where(pending => pending.Append.IsCompleted)];
            _pending.RemoveAll(pending => done.Contains(pending));

            // Counted last: what was seen above was true before this many operations were done.
            int operations = _disk.OperationCount;
            Evidence.NoteDurable(durable, operations);
            foreach ((string[] values, AckLevel ack, Task<AppendedRange> append) in done)
            {
                if (append.IsCompletedSuccessfully)
                    TryNote(values, ack, append.Result, operations);
            }
        }
    }

    // This is the log's own thread, which would take an exception for the disk's.
    private void TryNote(string[] values, AckLevel ack, AppendedRange range, int operations)
    {
        try
        {
            Note(values, ack, range, operations);
        }
        catch (LogViolationException violation)
        {
            _violation ??= violation;
        }
    }

    private void Note(string[] values, AckLevel ack, AppendedRange range, int operations)
    {
        if (range.LastOffset - range.BaseOffset + 1 != values.Length)
            throw new LogViolationException($"{values.Length} records were acknowledged as {range}");

        for (int i = 0; i < values.Length; i++)
            Evidence.NoteValue(range.BaseOffset + i, values[i]);

        if (ack == AckLevel.Durable || _believesWritten)
            Evidence.NoteDurable(range.LastOffset + 1, operations);
        else
            Evidence.NoteWritten(range.LastOffset + 1, operations);
    }
}
