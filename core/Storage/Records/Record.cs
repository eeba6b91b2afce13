namespace EdgeStream.Storage.Records;

/// <summary>One key/value pair of a record's headers. A header's value may be null, its key may not.</summary>
public readonly record struct RecordHeader(string Key, ReadOnlyMemory<byte>? Value);

/// <summary>
/// One record. A null key or value is not the same as an empty one. The memory of a record that came out of a
/// <see cref="RecordBatchReader"/> belongs to that reader and is valid until the reader is disposed.
/// </summary>
/// <remarks>
/// A <c>byte[]</c> that is null converts to an empty memory and not to null: where an array may be null, convert it by hand.
/// </remarks>
/// <param name="Offset">The record's place in its partition; ignored where a record is appended.</param>
/// <param name="Timestamp">Milliseconds since 1970-01-01T00:00:00Z, by the clock of whoever made the record.</param>
/// <param name="Key">The record's key; records of one key keep their order.</param>
/// <param name="Value">The record's payload.</param>
/// <param name="Headers">The headers in their order, empty where there are none.</param>
public readonly record struct Record(
    long Offset,
    long Timestamp,
    ReadOnlyMemory<byte>? Key,
    ReadOnlyMemory<byte>? Value,
    IReadOnlyList<RecordHeader> Headers)
{
    public Record(long timestamp, ReadOnlyMemory<byte>? key, ReadOnlyMemory<byte>? value)
        : this(0, timestamp, key, value, [])
    {
    }
}
