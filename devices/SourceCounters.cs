namespace EdgeStream.Devices;

/// <summary>What a source has done since the node started. Safe from any thread.</summary>
/// <param name="time">Tells how long ago it was; null for the system's.</param>
public sealed class SourceCounters(TimeProvider? time = null)
{
    private readonly TimeProvider _time = time ?? TimeProvider.System;
    private readonly long[] _dropped = new long[DropReasons.All.Count];
    private long _received;
    private long _stored;
    private long _incomplete;
    private volatile Fault? _lastDrop;
    private volatile Fault? _lastIncomplete;

    private sealed record Fault(string Message, long At);

    public long Received => Volatile.Read(ref _received);

    /// <summary>Records that are durable.</summary>
    public long Stored => Volatile.Read(ref _stored);

    /// <summary>Messages or events that were not stored and never will be, or did not reach somebody who was to have them.</summary>
    public long Dropped => DropReasons.All.Sum(DroppedFor);

    /// <summary>Why the last one was dropped, in one line; null where none was.</summary>
    public string? LastDrop => _lastDrop?.Message;

    /// <summary>Records that are stored, or will be, without something that was to be read from them, such as their time.</summary>
    public long Incomplete => Volatile.Read(ref _incomplete);

    /// <summary>What the last one lacked, in one line; null where none did.</summary>
    public string? LastIncomplete => _lastIncomplete?.Message;

    /// <summary>The later of <see cref="LastDrop"/> and <see cref="LastIncomplete"/>, and how long ago it was; nulls where there is neither.</summary>
    public (string? Message, TimeSpan? Age) LastFault =>
        new[] { _lastDrop, _lastIncomplete }.OfType<Fault>().MaxBy(fault => fault.At) is { } last
            ? (last.Message, _time.GetElapsedTime(last.At))
            : (null, null);

    public long DroppedFor(DropReason reason) => Volatile.Read(ref _dropped[(int)reason]);

    public void AddReceived(long count = 1) => Interlocked.Add(ref _received, count);

    public void AddStored() => Interlocked.Increment(ref _stored);

    public void AddDropped(string message) => AddDropped(DropReason.Refused, message);

    /// <param name="reason">What it is counted under.</param>
    /// <param name="message">The same for people, in one line.</param>
    /// <param name="count">How many were lost.</param>
    public void AddDropped(DropReason reason, string message, long count = 1)
    {
        _lastDrop = new Fault(message, _time.GetTimestamp());
        Interlocked.Add(ref _dropped[(int)reason], count);
    }

    /// <summary>True for the first with this reason in a row, which is the one to tell.</summary>
    public bool AddIncomplete(string reason)
    {
        Interlocked.Increment(ref _incomplete);
        return Interlocked.Exchange(ref _lastIncomplete, new Fault(reason, _time.GetTimestamp()))?.Message != reason;
    }
}
