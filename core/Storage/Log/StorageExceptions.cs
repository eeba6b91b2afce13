namespace EdgeStream.Storage.Log;

/// <summary>A read asked for an offset that the partition does not hold any more, or not yet.</summary>
public sealed class OffsetOutOfRangeException(long offset, long start, long end)
    : EdgeStreamException($"offset {offset} is outside the partition, which holds {start} up to {end}; choose one of those")
{
    public long Start { get; } = start;

    public long End { get; } = end;
}

/// <summary>A batch that brings its own offset does not continue the log.</summary>
public sealed class OffsetConflictException(long offered, long expected)
    : EdgeStreamException($"a batch at offset {offered} does not continue the log, which goes on at {expected}")
{
    public long Expected { get; } = expected;
}

/// <summary>A numbered batch is neither the next of its producer nor one that is known to have been appended; nothing was stored.</summary>
public sealed class SequenceConflictException(string problem) : EdgeStreamException(problem);

/// <summary>The log is about to be able to take the batch; nothing was stored.</summary>
public sealed class LogBusyException(string problem) : EdgeStreamException(problem);

/// <summary>There is no room for the records. The log goes on when there is room again.</summary>
public sealed class StorageFullException : EdgeStreamException
{
    private StorageFullException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }

    public static StorageFullException OfDisk(string path, Exception inner) => new(
        $"no room to write '{path}': the disk is full; free some space, other programs' files included", inner);

    public static StorageFullException OfBudget(string path, long limit) => new(
        $"no room to write '{path}': the storage budget of {limit} bytes is used up and nothing may be dropped; raise storage.budget, "
        + "or let the hub catch up");

    public static StorageFullException OfStream(string stream, string problem) => new(
        $"no room in the NATS stream '{stream}' ({problem}); raise the topic's retention or the servers' max_file_store, or free some of it");

    public static StorageFullException OfTopic(string path, long limit) => new(
        $"no room to write '{path}': the topic keeps {limit} bytes and rejects more until the hub has them; raise its retention, or let "
        + "the hub catch up");
}

/// <summary>Records whose producer waited for the hub were dropped here before the hub had them; the ledger of gaps says why.</summary>
public sealed class RecordsLostException(AppendedRange range) : EdgeStreamException(
    $"records {range.BaseOffset} to {range.LastOffset} were dropped before the hub had them; 'edgestream gaps' says why");

/// <summary>
/// A write or a sync failed in a way that leaves it open what is on the disk. The log takes no more records until it is opened
/// anew; what was acknowledged as durable is not affected.
/// </summary>
public sealed class LogFailedException(string path, Exception inner)
    : EdgeStreamException($"the log '{path}' stopped after an I/O error ({inner.Message}); check the disk, then restart", inner);

/// <summary>Data that had been acknowledged as durable cannot be read any more. Nothing was changed.</summary>
public sealed class PartitionDamagedException(string message) : EdgeStreamException(message);

/// <summary>The log was closed while the call waited.</summary>
public sealed class LogClosedException(string path) : EdgeStreamException($"the log '{path}' is closed");
