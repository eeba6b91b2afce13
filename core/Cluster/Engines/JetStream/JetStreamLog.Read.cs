using EdgeStream.Storage;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;

namespace EdgeStream.Cluster.Engines.JetStream;

/// <content>Lookups for readers, and what has to be known of producers.</content>
internal sealed partial class JetStreamLog
{
    // As in a segment log: what was on its way when the last writer ended lies within so much.
    private const long SequencesWindow = 4L * MaxPendingBytes;

    // Producers have fewer on their way, however small they are.
    private const int MaxSequencesMessages = 20_000;

    // Messages that are asked for at once: as many as come to these bytes, judged by the size of those that were read before.
    private const int MaxAskedAtOnce = 64;
    private const int AskedBytes = 2 * 1024 * 1024;

    private const int ReadBytes = 256 * 1024;

    private readonly SemaphoreSlim _loadingSequences = new(1);

    // The writer's own while it is not null. Without it the writer takes no numbered batches, so that nothing is missing in the next one.
    private volatile ProducerSequences? _sequences;

    internal long DurableOffset => _durable.Value;

    internal long LastSequence => Volatile.Read(ref _lastSequence);

    public IPartitionReader OpenReader(long offset)
    {
        LogOffsets offsets = Offsets;
        if (offset < offsets.Start || offset > offsets.End)
            throw new OffsetOutOfRangeException(offset, offsets.Start, offsets.End);

        return new JetStreamReader(this, offset);
    }

    public async ValueTask<long> FindOffsetByTimeAsync(long timestamp, CancellationToken cancellationToken)
    {
        // The largest timestamp up to a message only grows from one to the next: the record is behind the last that is below it.
        SequenceIndex.Entry? before = await FindLastAsync(entry => entry.Latest < timestamp).ConfigureAwait(false);
        long durable = DurableOffset;
        long from = Math.Clamp(before?.BaseOffset ?? 0, StartOffset, durable);
        using IPartitionReader reader = OpenReader(from);
        while (reader.NextOffset < durable)
        {
            using LogSlice slice = await reader.ReadAsync(ReadBytes, durable, cancellationToken).ConfigureAwait(false);
            if (slice.IsEmpty)
                break;

            if (RecordBatches.FindByTime(slice.Batches, timestamp) is { } found)
                return found;
        }

        return durable;
    }

    /// <summary>The sequence of the last message that begins at or below an offset.</summary>
    /// <exception cref="OffsetOutOfRangeException">Retention has dropped it.</exception>
    internal async ValueTask<long> FindSequenceAsync(long offset)
    {
        if (await FindLastAsync(entry => entry.BaseOffset <= offset).ConfigureAwait(false) is { } found)
            return found.Sequence;

        await RefreshAsync().ConfigureAwait(false);
        return StartOffset <= offset
            ? Volatile.Read(ref _firstSequence)
            : throw new OffsetOutOfRangeException(offset, StartOffset, DurableOffset);
    }

    /// <summary>
    /// A message, or the first behind it where it is not there; null where there is none behind it either. Where nobody answers, because a
    /// leader is being chosen for instance, it is as patient as the writer.
    /// </summary>
    /// <exception cref="ClusterException">The servers have not answered for so long.</exception>
    internal async Task<StreamMessage?> FindAtOrBehindAsync(long sequence)
    {
        long since = Environment.TickCount64;
        while (true)
        {
            try
            {
                return await _servers.FindAsync(_names.Stream, sequence).ConfigureAwait(false)
                    ?? await _servers.FindFromLeaderAsync(_names.Stream, sequence, _names.Subject + ".*").ConfigureAwait(false);
            }
            catch (ClusterException silent) when (silent.Code == ErrorCode.Unavailable && Environment.TickCount64 - since < _options.Patience.TotalMilliseconds)
            {
                ThrowIfClosed();
            }

            await Task.Delay(FirstRetry).ConfigureAwait(false);
        }
    }

    internal async Task<StreamMessage?> FindAsync(long sequence)
    {
        try
        {
            return await _servers.FindAsync(_names.Stream, sequence).ConfigureAwait(false);
        }
        catch (ClusterException)
        {
            // Asked ahead: who wants it in earnest asks again, and is told.
            return null;
        }
    }

    internal void Note(StreamMessage message) => _index.Add(new SequenceIndex.Entry(message.Sequence, message.BaseOffset, message.Latest));

    /// <summary>A reader has come to something else than it was to: retention was faster, or records are missing, which becomes a gap.</summary>
    /// <exception cref="OffsetOutOfRangeException">Retention has dropped the offset.</exception>
    internal async ValueTask NoteMissingAsync(long from, long to)
    {
        await RefreshAsync().ConfigureAwait(false);
        if (StartOffset > from)
            throw new OffsetOutOfRangeException(from, StartOffset, DurableOffset);

        NoteGap(new Gap(from, to - 1, 0, -1, -1, GapReason.Damage, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()), sequence: null);
    }

    internal void ThrowIfClosed()
    {
        if (Volatile.Read(ref _disposed) != 0)
            throw new LogClosedException(_id.ToString());
    }

    /// <summary>The last message for which something holds that holds for all before it; null where it holds for none.</summary>
    private async ValueTask<SequenceIndex.Entry?> FindLastAsync(Func<SequenceIndex.Entry, bool> holds)
    {
        (SequenceIndex.Entry? found, SequenceIndex.Entry? behind) = _index.Around(holds);
        long low = found is { } before ? before.Sequence + 1 : Volatile.Read(ref _firstSequence);
        long high = behind?.Sequence ?? LastSequence + 1;
        while (low < high)
        {
            long middle = low + ((high - low) / 2);
            using StreamMessage? message = await FindAtOrBehindAsync(middle).ConfigureAwait(false);
            if (message is null || message.Sequence >= high)
            {
                high = middle;
                continue;
            }

            var entry = new SequenceIndex.Entry(message.Sequence, message.BaseOffset, message.Latest);
            _index.Add(entry);
            if (holds(entry))
            {
                found = entry;
                low = message.Sequence + 1;
            }
            else
            {
                high = middle;
            }
        }

        return found;
    }

    /// <summary>Reads the end of the log for what producers have appended last, when one appends for the first time since it was opened.</summary>
    private async ValueTask LoadSequencesAsync(CancellationToken cancellationToken)
    {
        if (_sequences is not null)
            return;

        await _loadingSequences.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_sequences is not null)
                return;

            await _servers.EndReads.WaitAsync(cancellationToken).ConfigureAwait(false);
            try
            {
                // Whatever is on its way now has no number, or is a mirror's: numbered batches are not taken before this has ended.
                _sequences = await ReadSequencesAsync(cancellationToken).ConfigureAwait(false);
            }
            finally
            {
                _servers.EndReads.Release();
            }
        }
        finally
        {
            _loadingSequences.Release();
        }
    }

    private async Task<ProducerSequences> ReadSequencesAsync(CancellationToken cancellationToken)
    {
        var numbered = new Stack<RecordBatchHeader>();
        long first = Volatile.Read(ref _firstSequence), sequence = LastSequence, bytes = 0;
        int messages = 0, atOnce = 1;
        while (sequence >= first && bytes < SequencesWindow && messages < MaxSequencesMessages)
        {
            cancellationToken.ThrowIfCancellationRequested();
            long[] asked = [.. Enumerable.Range(0, (int)Math.Min(atOnce, sequence - first + 1)).Select(i => sequence - i)];
            StreamMessage?[] answers = await Task.WhenAll(asked.Select(FindExactlyAsync)).ConfigureAwait(false);
            foreach (StreamMessage answer in answers.OfType<StreamMessage>())
            {
                using StreamMessage message = answer;
                bytes += message.Payload.Length;
                if (message.Kind != MessageKind.Data)
                    continue;

                foreach ((RecordBatchHeader header, _) in RecordBatches.Split(message.Payload).Reverse())
                {
                    if (ProducerSequences.IsNumbered(header))
                        numbered.Push(header);
                }
            }

            sequence -= asked.Length;
            messages += asked.Length;
            atOnce = (int)Math.Clamp(AskedBytes * (long)messages / Math.Max(1, bytes), 1, Math.Min(MaxAskedAtOnce, 4 * atOnce));
        }

        var sequences = new ProducerSequences();
        foreach (RecordBatchHeader header in numbered)
            sequences.Note(header, header.BaseOffset);

        return sequences;
    }

    /// <summary>Null where retention has taken it.</summary>
    private async Task<StreamMessage?> FindExactlyAsync(long sequence)
    {
        StreamMessage? found = await FindAtOrBehindAsync(sequence).ConfigureAwait(false);
        if (found is null || found.Sequence == sequence)
            return found;

        found.Dispose();
        return null;
    }
}
