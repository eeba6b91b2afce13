using System.Text;

namespace EdgeStream.Storage.Records;

/// <summary>Takes one record apart, the counterpart of <see cref="RecordEncoder"/>. Trusts no length and no count.</summary>
internal static class RecordDecoder
{
    // Two lengths, both of which may be a single byte.
    private const int SmallestHeaderSize = 2;

    /// <summary>Reads the record at <paramref name="position"/> and moves it past the record.</summary>
    /// <exception cref="CorruptBatchException">The bytes there are not a record, or not the one that is due.</exception>
    public static Record Read(in RecordBatchHeader batch, int index, ReadOnlyMemory<byte> records, ref int position)
    {
        int bodySize = ReadInt32(records.Span, ref position);
        if (bodySize < 0 || bodySize > records.Length - position)
            throw Malformed($"has the length {bodySize} where {records.Length - position} bytes are left", index);

        ReadOnlyMemory<byte> memory = records.Slice(position, bodySize);
        position += bodySize;

        ReadOnlySpan<byte> body = memory.Span;
        int at = 1; // past the attributes, of which none is defined
        if (!VarInt.TryRead64(body, ref at, out long timestampDelta))
            throw Malformed("has no timestamp", index);

        // Offsets are dense and in order, in this log and in what Kafka's producers write.
        int offsetDelta = ReadInt32(body, ref at);
        if (offsetDelta != index)
            throw Malformed($"has the offset delta {offsetDelta}", index);

        ReadOnlyMemory<byte>? key = ReadBytes(memory, ref at);
        ReadOnlyMemory<byte>? value = ReadBytes(memory, ref at);
        IReadOnlyList<RecordHeader> headers = ReadHeaders(memory, ref at);
        if (at != bodySize)
            throw Malformed($"has {bodySize - at} bytes after its end", index);

        long timestamp = batch.HasLogAppendTime ? batch.MaxTimestamp : unchecked(batch.BaseTimestamp + timestampDelta);
        return new Record(batch.BaseOffset + index, timestamp, key, value, headers);
    }

    private static RecordHeader[] ReadHeaders(ReadOnlyMemory<byte> body, ref int at)
    {
        int count = ReadInt32(body.Span, ref at);
        if (count == 0)
            return [];
        if (count < 0 || count > Math.Min(RecordBatchReader.MaxHeadersPerRecord, (body.Length - at) / SmallestHeaderSize))
            throw new CorruptBatchException($"a record claims {count} headers in {body.Length - at} bytes");

        var headers = new RecordHeader[count];
        for (int i = 0; i < count; i++)
        {
            ReadOnlyMemory<byte> key = ReadBytes(body, ref at) ?? throw new CorruptBatchException("a record's header has no key");
            headers[i] = new RecordHeader(Encoding.UTF8.GetString(key.Span), ReadBytes(body, ref at));
        }

        return headers;
    }

    private static ReadOnlyMemory<byte>? ReadBytes(ReadOnlyMemory<byte> body, ref int at)
    {
        int length = ReadInt32(body.Span, ref at);
        if (length == -1)
            return null;
        if (length < 0 || length > body.Length - at)
            throw new CorruptBatchException($"a record has a field of {length} bytes where {body.Length - at} are left");

        at += length;
        return body.Slice(at - length, length);
    }

    private static int ReadInt32(ReadOnlySpan<byte> source, ref int at) =>
        VarInt.TryRead32(source, ref at, out int value)
            ? value
            : throw new CorruptBatchException("a record has a number that is cut short or too large");

    private static CorruptBatchException Malformed(string what, int index) => new($"record {index} of a batch {what}");
}
