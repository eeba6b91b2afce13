using EdgeStream.Storage.Records.Codecs;

namespace EdgeStream.Storage.Records;

/// <summary>
/// Encodes records into one batch after the other, reusing its buffers: appending allocates nothing once they have grown
/// to the size of a batch. For one thread at a time.
/// </summary>
public sealed class RecordBatchWriter : IDisposable
{
    private readonly RecordBatchOptions _options;
    private readonly PooledBuffer _plain = new();
    private readonly PooledBuffer _compressed = new();
    private long _baseTimestamp;
    private long _maxTimestamp;
    private bool _disposed;

    public RecordBatchWriter(CompressionCodec codec = CompressionCodec.None)
        : this(new RecordBatchOptions { Codec = codec })
    {
    }

    public RecordBatchWriter(RecordBatchOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((byte)options.Codec, (byte)CompressionCodec.Zstd, nameof(options));
        if ((options.AttributeFlags & RecordBatchHeader.CodecMask) != 0)
            throw new ArgumentException("The attribute flags may not set the codec's bits.", nameof(options));
        _options = options;
    }

    public int RecordCount { get; private set; }

    /// <summary>Bytes of the batch so far, header included, before compression.</summary>
    public int EstimatedSize => Math.Max(RecordBatchHeader.Size, _plain.Length);

    /// <summary>
    /// Adds a record; its offset is ignored, its bytes are copied. Where the result is an exception, the batch is as it
    /// was before.
    /// </summary>
    /// <exception cref="RecordTooLargeException">
    /// The batch would be larger than <see cref="RecordBatchHeader.MaxBatchSize"/> before compression, or the record has
    /// more than <see cref="RecordBatchReader.MaxHeadersPerRecord"/> headers. A record that fails in an empty batch is
    /// too large for any.
    /// </exception>
    public void Append(in Record record)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (record.Headers?.Count > RecordBatchReader.MaxHeadersPerRecord)
            throw new RecordTooLargeException($"a record can have {RecordBatchReader.MaxHeadersPerRecord} headers at most");

        // Wraps where the two are further apart than a long can say; the reader's addition wraps back.
        long timestampDelta = unchecked(record.Timestamp - (RecordCount == 0 ? record.Timestamp : _baseTimestamp));
        long bodySize = RecordEncoder.BodySize(record, timestampDelta, RecordCount);
        long newSize = EstimatedSize + VarInt.SizeOf(bodySize) + bodySize;
        if (newSize > RecordBatchHeader.MaxBatchSize)
        {
            throw new RecordTooLargeException(
                $"the record is too large: its batch would have {newSize} bytes, the most is {RecordBatchHeader.MaxBatchSize}");
        }

        // Room for the header is left in front, so that an uncompressed batch is finished where it lies.
        if (_plain.Length == 0)
        {
            _plain.GetSpan(RecordBatchHeader.Size);
            _plain.Advance(RecordBatchHeader.Size);
        }

        int size = (int)newSize - _plain.Length;
        RecordEncoder.Write(_plain.GetSpan(size)[..size], record, (int)bodySize, timestampDelta, RecordCount);
        _plain.Advance(size);

        _maxTimestamp = RecordCount == 0 ? record.Timestamp : Math.Max(_maxTimestamp, record.Timestamp);
        _baseTimestamp = RecordCount == 0 ? record.Timestamp : _baseTimestamp;
        RecordCount++;
    }

    /// <summary>
    /// The finished batch, at most <see cref="RecordBatchHeader.MaxBatchSize"/> bytes. Where compression would not make
    /// it smaller it is stored uncompressed, and its header says so. The memory belongs to the writer and is valid until
    /// the next call of any other member that changes it; the records stay, so that another call gives the same batch.
    /// </summary>
    /// <exception cref="InvalidOperationException">There is no record.</exception>
    public ReadOnlyMemory<byte> Build(long baseOffset = 0)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentOutOfRangeException.ThrowIfNegative(baseOffset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(baseOffset, long.MaxValue - Math.Max(1, RecordCount));
        if (RecordCount == 0)
            throw new InvalidOperationException("A batch has at least one record.");

        if (_options.Codec == CompressionCodec.None)
            return Finish(_plain, CompressionCodec.None, baseOffset);

        _compressed.Truncate(0);
        _compressed.GetSpan(RecordBatchHeader.Size);
        _compressed.Advance(RecordBatchHeader.Size);
        RecordsCodec.Compress(_options.Codec, _plain.WrittenSpan[RecordBatchHeader.Size..], _compressed);
        return _compressed.Length < _plain.Length
            ? Finish(_compressed, _options.Codec, baseOffset)
            : Finish(_plain, CompressionCodec.None, baseOffset);
    }

    /// <summary>Starts the next batch; invalidates the memory of the last one.</summary>
    public void Reset()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        RecordCount = 0;
        _plain.Truncate(0);
        _compressed.Truncate(0);
    }

    public void Dispose()
    {
        _disposed = true;
        RecordCount = 0;
        _plain.Dispose();
        _compressed.Dispose();
    }

    private ReadOnlyMemory<byte> Finish(PooledBuffer batch, CompressionCodec codec, long baseOffset)
    {
        var header = new RecordBatchHeader(
            baseOffset,
            batch.Length - RecordBatchHeader.LengthPrefixSize,
            _options.PartitionLeaderEpoch,
            Crc: 0,
            (short)(_options.AttributeFlags | (short)codec),
            RecordCount - 1,
            _baseTimestamp,
            _maxTimestamp,
            _options.ProducerId,
            _options.ProducerEpoch,
            _options.BaseSequence,
            RecordCount);

        header.Write(batch.WrittenSpan);
        RecordBatchHeader.SealChecksum(batch.WrittenSpan);
        return batch.WrittenMemory;
    }
}
