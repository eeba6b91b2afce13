namespace EdgeStream.Devices;

/// <summary>What a source has done since the node started. Safe from any thread.</summary>
public sealed class SourceCounters
{
    private long _received;
    private long _stored;
    private long _dropped;
    private long _incomplete;
    private volatile string? _lastDrop;
    private volatile string? _lastIncomplete;

    public long Received => Volatile.Read(ref _received);

    /// <summary>Records that are durable.</summary>
    public long Stored => Volatile.Read(ref _stored);

    /// <summary>Messages or events that were not stored and never will be.</summary>
    public long Dropped => Volatile.Read(ref _dropped);

    /// <summary>Why the last one was dropped, in one line; null where none was.</summary>
    public string? LastDrop => _lastDrop;

    /// <summary>Records that are stored, or will be, without something that was to be read from them, such as their time.</summary>
    public long Incomplete => Volatile.Read(ref _incomplete);

    /// <summary>What the last one lacked, in one line; null where none did.</summary>
    public string? LastIncomplete => _lastIncomplete;

    public void AddReceived() => Interlocked.Increment(ref _received);

    public void AddStored() => Interlocked.Increment(ref _stored);

    public void AddDropped(string reason)
    {
        _lastDrop = reason;
        Interlocked.Increment(ref _dropped);
    }

    /// <summary>True for the first with this reason in a row, which is the one to tell.</summary>
    public bool AddIncomplete(string reason)
    {
        Interlocked.Increment(ref _incomplete);
        return Interlocked.Exchange(ref _lastIncomplete, reason) != reason;
    }
}
