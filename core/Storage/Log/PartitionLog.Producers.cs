using EdgeStream.Storage.Records;

namespace EdgeStream.Storage.Log;

/// <content>
/// Batches that are sent again. Nothing is kept of producers but the numbers in their batches: what has to be known of them is read from
/// the end of the log, when one appends for the first time since the log was opened.
/// </content>
public sealed partial class PartitionLog
{
    // What was on its way when the log was opened, or failed, lies within what may be on its way at once.
    private const int SequencesWindow = 4;

    private readonly SemaphoreSlim _loadingSequences = new(1);

    // The writer's own while it is not null. Without it the writer takes no numbered batches, so that nothing is missing in the next one.
    private volatile ProducerSequences? _sequences;

    /// <summary>The writer: a commit was lost, and what it had noted of producers with it.</summary>
    private void ForgetSequences() => _sequences = null;

    /// <summary>Not by the writer: reading may come upon damage, and its repair waits for the writer.</summary>
    private async ValueTask LoadSequencesAsync(CancellationToken cancellationToken)
    {
        if (_sequences is not null)
            return;

        await _loadingSequences.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_sequences is not null)
                return;

            long end = _end.Value;
            SyncSoon();
            await _durable.WaitForAsync(end, cancellationToken).ConfigureAwait(false);
            while ((_sequences = TryReadSequences(end)) is null)
            {
                // Retention was faster.
            }
        }
        finally
        {
            _loadingSequences.Release();
        }
    }

    private ProducerSequences? TryReadSequences(long end)
    {
        try
        {
            return ReadSequences(end);
        }
        catch (OffsetOutOfRangeException)
        {
            return null;
        }
    }

    private ProducerSequences ReadSequences(long end)
    {
        const int ChunkBytes = 1024 * 1024;
        var sequences = new ProducerSequences();
        using LogReader reader = OpenReader(OffsetBefore((long)SequencesWindow * _options.MaxPendingBytes));
        while (reader.NextOffset < end)
        {
            using LogSlice slice = reader.Read(ChunkBytes, end);
            if (slice.IsEmpty)
                break;

            foreach ((RecordBatchHeader header, _) in RecordBatches.Split(slice.Batches))
            {
                if (ProducerSequences.IsNumbered(header))
                    sequences.Note(header, header.BaseOffset);
            }
        }

        return sequences;
    }

    /// <summary>Where a segment begins that has at least so many bytes behind it, or the log.</summary>
    private long OffsetBefore(long bytes)
    {
        lock (_segmentsLock)
        {
            long behind = _active.Position;
            int i = _segments.Length - 1;
            while (i > 0 && behind < bytes)
                behind += _segments[--i].Bytes;

            return _segments[i].BaseOffset;
        }
    }
}
