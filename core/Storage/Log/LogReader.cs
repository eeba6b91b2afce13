using System.Buffers;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Records;

namespace EdgeStream.Storage.Log;

/// <summary>
/// Reads a partition onward from an offset, up to what is durable. For one caller at a time. It holds one file open, and a
/// position, so that reading on needs no lookup; a slow one costs the log nothing.
/// </summary>
public sealed class LogReader : IPartitionReader
{
    private readonly PartitionLog _log;
    private ILogFile? _file;
    private long _segment;
    private long _position;

    // Each repair leaves a gap that reading goes on behind. More than a few at one offset repair nothing.
    private const int MaxRepairs = 16;

    internal LogReader(PartitionLog log, long offset)
    {
        _log = log;
        NextOffset = offset;
    }

    /// <summary>The offset that the next read starts with.</summary>
    public long NextOffset { get; private set; }

    /// <summary>
    /// Reads whole batches, beginning with the one that holds <see cref="NextOffset"/>; empty at the durable end. Blocks on the
    /// disk, not on writers.
    /// </summary>
    /// <param name="maxBytes">How much to read at most, in bytes; one batch is read even if it is larger.</param>
    /// <param name="endOffset">Where to stop: no batch at or after it is read.</param>
    /// <exception cref="OffsetOutOfRangeException">Retention has dropped the offset meanwhile.</exception>
    /// <remarks>What was lost is passed over: <see cref="NextOffset"/> then moves on to the end of the gap.</remarks>
    /// <exception cref="PartitionDamagedException">The disk cannot be read, and what is lost could not be noted.</exception>
    public LogSlice Read(int maxBytes, long endOffset = long.MaxValue)
    {
        for (int repairs = 0; ; repairs++)
        {
            long end = Math.Min(_log.DurableOffset, endOffset);
            while (_log.FindGap(NextOffset) is { } gap)
                NextOffset = gap.Last + 1;

            if (NextOffset >= end)
                return new LogSlice(null, 0, 0, NextOffset, NextOffset);

            // Looked up each time, and after the durable mark: the segment that was open may have been sealed just here.
            (long baseOffset, long nextBaseOffset) = _log.FindSegment(NextOffset);
            try
            {
                if (_file is null || baseOffset != _segment)
                    OpenSegment(baseOffset);

                return ReadBatches(Math.Min(end, nextBaseOffset), Math.Max(maxBytes, RecordBatchHeader.Size));
            }
            catch (DamageFoundException) when (repairs < MaxRepairs)
            {
                // Also where retention took the file for a new segment while it was read; then there is nothing to repair.
                Close();
                _log.ThrowIfClosed();
                _log.Repair(baseOffset);
            }
            catch (DamageFoundException damage)
            {
                throw new PartitionDamagedException($"'{_log.Directory}' is damaged near offset {NextOffset}: {damage.Message}");
            }
        }
    }

    ValueTask<LogSlice> IPartitionReader.ReadAsync(int maxBytes, long endOffset, CancellationToken cancellationToken) => new(Read(maxBytes, endOffset));

    /// <summary>Completes once there is something to read.</summary>
    public ValueTask WaitAsync(CancellationToken cancellationToken) =>
        _log.WaitForDurableAsync(NextOffset + 1, cancellationToken);

    public void Dispose() => Close();

    /// <summary>Reads on to the first record at or after a time; its offset, or the durable end.</summary>
    internal long SkipToTime(long timestamp)
    {
        const int ChunkSize = 256 * 1024;
        while (true)
        {
            using LogSlice slice = Read(ChunkSize);
            if (slice.IsEmpty)
                return NextOffset;

            if (RecordBatches.FindByTime(slice.Batches, timestamp) is { } found)
                return found;
        }
    }

    private void Close()
    {
        _file?.Dispose();
        _file = null;
    }

    private void OpenSegment(long baseOffset)
    {
        Close();
        try
        {
            _file = _log.OpenSegment(baseOffset);
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            // Dropped between the lookup and now, deleted with its topic, or taken away by somebody else.
            throw new DamageFoundException("its file is missing");
        }

        _segment = baseOffset;
        _position = _log.FindPosition(baseOffset, NextOffset);
    }

    /// <summary>Reads at the position, skips what lies before the wanted offset, and keeps whole batches up to the limit.</summary>
    private LogSlice ReadBatches(long limit, int size)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(size);
        try
        {
            int filled = Fill(buffer, size);
            int start = 0, at = 0;
            long first = -1, next = -1;
            while (next < limit)
            {
                ReadOnlySpan<byte> rest = buffer.AsSpan(at, filled - at);
                if (!TryTakeHeader(rest, next, out RecordBatchHeader header, out int wanted))
                {
                    if (first >= 0)
                        break;

                    // Nothing yet: the batch is larger than the buffer, or lies further on. Read again from here.
                    _position += at;
                    if (wanted > buffer.Length)
                    {
                        ArrayPool<byte>.Shared.Return(buffer);
                        buffer = ArrayPool<byte>.Shared.Rent(wanted);
                    }

                    filled = Fill(buffer, Math.Max(size, wanted));
                    start = at = 0;
                    if (filled < wanted)
                        throw Damaged($"the file ends at {_position + filled}");

                    continue;
                }

                next = header.NextOffset;
                at += header.TotalLength;
                if (next <= NextOffset)
                {
                    start = at;
                    continue;
                }

                if (!RecordBatchHeader.VerifyChecksum(rest[..header.TotalLength]))
                    throw Damaged("the checksum of a batch is wrong");

                first = first < 0 ? header.BaseOffset : first;
            }

            var slice = new LogSlice(buffer, start, at - start, first, next);
            _position += at;
            NextOffset = next;
            return slice;
        }
        catch
        {
            ArrayPool<byte>.Shared.Return(buffer);
            throw;
        }
    }

    /// <summary>The header of a whole batch at the front of what was read; else how many bytes it takes to tell.</summary>
    private bool TryTakeHeader(ReadOnlySpan<byte> rest, long expected, out RecordBatchHeader header, out int wanted)
    {
        header = default;
        wanted = RecordBatchHeader.Size;
        if (rest.Length < wanted)
            return false;

        if (!RecordBatchHeader.TryRead(rest, out header, out string? problem))
            throw Damaged(problem!);

        if (expected >= 0 ? header.BaseOffset != expected : header.BaseOffset > NextOffset)
            throw Damaged($"a batch starts at offset {header.BaseOffset} instead of {Math.Max(expected, NextOffset)}");

        wanted = header.TotalLength;
        return rest.Length >= wanted;
    }

    private int Fill(byte[] buffer, int size)
    {
        int filled = 0;
        int read;
        try
        {
            while (filled < size && (read = _file!.Read(buffer.AsSpan(filled, size - filled), _position + filled)) > 0)
                filled += read;

            return filled;
        }
        catch (IOException error)
        {
            throw new DamageFoundException(error.Message);
        }
    }

    private static DamageFoundException Damaged(string problem) => new(problem);

    /// <summary>Never leaves the reader.</summary>
    private sealed class DamageFoundException(string message) : Exception(message);
}
