using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;

namespace EdgeStream.Mirror.Bundles;

/// <summary>Goes through a log beside a bundle, batch by batch. For one caller at a time.</summary>
internal sealed class BatchCursor : IDisposable
{
    private const int ReadBytes = 256 * 1024;

    private readonly LogReader _reader;
    private LogSlice? _slice;
    private ReadOnlyMemory<byte> _rest;

    /// <param name="log">The log; what is compared must be durable in it.</param>
    /// <param name="offset">Where to begin, or the log's start where that is later.</param>
    public BatchCursor(PartitionLog log, long offset) => _reader = log.OpenReader(Math.Max(offset, log.StartOffset));

    /// <summary>
    /// Whether the log holds something else at a batch's offsets. What it does not hold any more (dropped, or lost) cannot
    /// differ. To be asked in ascending order.
    /// </summary>
    public bool Differs(in RecordBatchHeader header, ReadOnlyMemory<byte> batch)
    {
        while (TryPeek(out RecordBatchHeader held))
        {
            if (held.BaseOffset >= header.NextOffset)
                return false;

            ReadOnlyMemory<byte> heldBatch = _rest[..held.TotalLength];
            if (held.NextOffset > header.BaseOffset)
                return !heldBatch.Span.SequenceEqual(batch.Span);

            _rest = _rest[held.TotalLength..];
        }

        return false;
    }

    public void Dispose()
    {
        _slice?.Dispose();
        _reader.Dispose();
    }

    private bool TryPeek(out RecordBatchHeader header)
    {
        if (_rest.IsEmpty)
        {
            _slice?.Dispose();
            _slice = _reader.Read(ReadBytes);
            _rest = _slice.Batches;
        }

        return RecordBatchHeader.TryRead(_rest.Span, out header, out _);
    }
}
