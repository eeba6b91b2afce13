using EdgeStream.Storage.Records.Codecs;

namespace EdgeStream.Storage.Records;

/// <summary>
/// Reads the records of one batch in their order. Whatever the bytes are, the only exception is
/// <see cref="CorruptBatchException"/>, and memory is taken for what the bytes hold, not for what they claim. An
/// uncompressed record without headers costs no allocation. For one thread at a time.
/// </summary>
public sealed class RecordBatchReader : IDisposable
{
    /// <summary>
    /// The most bytes that a batch's records may have when decompressed: four times what is accepted as a batch
    /// (<see cref="RecordBatchHeader.MaxBatchSize"/>), sixteen times what Kafka's clients gather into one by default, and
    /// still bearable for a device with little memory.
    /// </summary>
    public const int MaxUncompressedSize = 4 * RecordBatchHeader.MaxBatchSize;

    /// <summary>
    /// The most headers of one record. A header takes two bytes in a batch, next to none of them when compressed, and over
    /// thirty in memory; without a limit some kilobytes could ask for hundreds of megabytes.
    /// </summary>
    public const int MaxHeadersPerRecord = ushort.MaxValue;

    private readonly PooledBuffer? _decompressed;
    private readonly ReadOnlyMemory<byte> _records;
    private int _position;
    private int _index;
    private bool _disposed;

    private RecordBatchReader(in RecordBatchHeader header, ReadOnlyMemory<byte> records, PooledBuffer? decompressed)
    {
        Header = header;
        _records = records;
        _decompressed = decompressed;
    }

    public RecordBatchHeader Header { get; }

    /// <summary>Checks header, length and checksum, and decompresses the records where they are compressed.</summary>
    /// <param name="batch">Exactly one whole batch; must not change while the reader or its records are in use.</param>
    /// <exception cref="CorruptBatchException">The bytes are not one whole, undamaged batch.</exception>
    public static RecordBatchReader Open(ReadOnlyMemory<byte> batch)
    {
        if (!RecordBatchHeader.TryRead(batch.Span, out RecordBatchHeader header, out string? problem))
            throw new CorruptBatchException($"not a record batch: {problem}");
        if (header.TotalLength != batch.Length)
            throw new CorruptBatchException($"a batch of {header.TotalLength} bytes stands in {batch.Length}");
        if (!RecordBatchHeader.VerifyChecksum(batch.Span))
            throw new CorruptBatchException($"the batch at offset {header.BaseOffset} has a wrong checksum");

        ReadOnlyMemory<byte> records = batch[RecordBatchHeader.Size..];
        if (header.Codec == CompressionCodec.None)
            return new RecordBatchReader(header, records, null);

        var decompressed = new PooledBuffer();
        try
        {
            RecordsCodec.Decompress(header.Codec, records.Span, decompressed);
        }
        catch
        {
            decompressed.Dispose();
            throw;
        }

        return new RecordBatchReader(header, decompressed.WrittenMemory, decompressed);
    }

    /// <summary>
    /// The next record, with its own offset and timestamp; false after the last. After an exception the reader gives no
    /// more records.
    /// </summary>
    /// <exception cref="CorruptBatchException">
    /// The record is malformed, or bytes follow the last one. The records before it are what was written: the checksum was
    /// right, so it was written wrongly.
    /// </exception>
    public bool TryRead(out Record record)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        record = default;
        if (_index == Header.RecordCount)
            return false;

        int index = _index;
        _index = Header.RecordCount; // where it stays if the record is malformed
        record = RecordDecoder.Read(Header, index, _records, ref _position);
        _index = index + 1;
        if (_index == Header.RecordCount && _position != _records.Length)
            throw new CorruptBatchException($"{_records.Length - _position} bytes follow the last record of a batch");
        return true;
    }

    /// <summary>Gives back the memory, that of the records included.</summary>
    public void Dispose()
    {
        _disposed = true;
        _decompressed?.Dispose();
    }
}
