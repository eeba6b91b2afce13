using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;

namespace EdgeStream.Mirror.Bundles;

/// <summary>Goes through a log beside a bundle, batch by batch. For one caller at a time.</summary>
internal sealed class BatchCursor : IDisposable
{
    private const int ReadBytes = 256 * 1024;

    private readonly IPartitionReader _reader;
    private LogSlice? _slice;
    private ReadOnlyMemory<byte> _rest;

    /// <param name="log">The log; what is compared must be durable in it.</param>
    /// <param name="offset">Where to begin, or the log's start where that is later.</param>
    public BatchCursor(IPartitionLog log, long offset) => _reader = log.OpenReader(Math.Max(offset, log.StartOffset));

    /// <summary>
    /// Whether the log holds something else at a batch's offsets. What it does not hold any more (dropped, or lost) cannot
    /// differ. To be asked in ascending order.
    /// </summary>
    public async ValueTask<bool> DiffersAsync(RecordBatchHeader header, ReadOnlyMemory<byte> batch, CancellationToken cancellationToken)
    {
        while (await PeekAsync(cancellationToken).ConfigureAwait(false) is { } held)
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

    private async ValueTask<RecordBatchHeader?> PeekAsync(CancellationToken cancellationToken)
    {
        if (_rest.IsEmpty)
        {
            _slice?.Dispose();
            _slice = await _reader.ReadAsync(ReadBytes, cancellationToken: cancellationToken).ConfigureAwait(false);
            _rest = _slice.Batches;
        }

        return RecordBatchHeader.TryRead(_rest.Span, out RecordBatchHeader header, out _) ? header : null;
    }
}
