using System.Buffers;
using System.Buffers.Binary;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Records;

namespace EdgeStream.Storage.Segments;

/// <summary>Good batches of a segment file, one behind the other.</summary>
/// <param name="Position">Where the first of them starts, in bytes.</param>
/// <param name="EndPosition">Where the last of them ends.</param>
/// <param name="First">The first offset.</param>
/// <param name="Next">The offset behind the last.</param>
internal readonly record struct BatchRun(long Position, long EndPosition, long First, long Next)
{
    public bool IsEmpty => Position == EndPosition;
}

/// <summary>Reads a segment file through, to find its end, to rebuild its index, and to find what is good behind damage.</summary>
internal static class SegmentScanner
{
    private const int ChunkSize = 256 * 1024;

    // The writer is never so far ahead that a batch of this log could lie further on; what claims to is something else.
    private const long MaxOffsetsAhead = 1L << 31;

    /// <summary>
    /// Reads batches from <paramref name="position"/> on while they are good: the header is, the checksum is right, and each
    /// continues the one before, the first at <paramref name="offset"/>, up to <paramref name="endOffset"/>.
    /// </summary>
    public static BatchRun Scan(
        ILogFile file, long position, long offset, long endOffset = long.MaxValue, SegmentIndex? index = null, long segmentBase = 0)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(ChunkSize);
        try
        {
            long expected = offset;
            int filled = 0, at = 0;
            long bufferStart = position;
            while (true)
            {
                ReadOnlySpan<byte> rest = buffer.AsSpan(at, filled - at);
                bool parsed = RecordBatchHeader.TryRead(rest, out RecordBatchHeader header, out _);
                int wanted = parsed ? header.TotalLength : RecordBatchHeader.Size;
                if (rest.Length < wanted)
                {
                    bufferStart += at;
                    filled = Refill(file, ref buffer, bufferStart, wanted);
                    at = 0;
                    if (filled < wanted)
                        break;

                    continue;
                }

                if (!parsed || header.BaseOffset != expected || header.BaseOffset >= endOffset
                    || !RecordBatchHeader.VerifyChecksum(rest[..header.TotalLength]))
                {
                    break;
                }

                index?.Add(header.BaseOffset - segmentBase, bufferStart + at, header.MaxTimestamp);
                expected = header.NextOffset;
                at += header.TotalLength;
            }

            return new BatchRun(position, bufferStart + at, offset, expected);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>
    /// All that is good in a segment file, in the order of offsets: what starts at <paramref name="offset"/>, and behind each
    /// damaged place the next batch whose checksum is right and whose offset can be. Batches that a recycled file still holds
    /// from its former life have lower offsets and are passed over.
    /// </summary>
    /// <param name="file">The file.</param>
    /// <param name="position">Where to start.</param>
    /// <param name="offset">The offset that should be there.</param>
    /// <param name="endOffset">Offsets at or beyond this belong to the next segment.</param>
    public static List<BatchRun> FindRuns(ILogFile file, long position, long offset, long endOffset)
    {
        var runs = new List<BatchRun>();
        (long Position, long Offset)? start = (position, offset);
        while (start is var (at, first))
        {
            BatchRun run = Scan(file, at, first, endOffset);
            if (!run.IsEmpty)
                runs.Add(run);
            else if (at > position)
                break;

            start = run.Next >= endOffset ? null : FindBatch(file, run.EndPosition, run.Next, endOffset);
        }

        return runs;
    }

    /// <summary>How many bytes of an interrupted batch with the given offset lie at a position; 0 where there is none.</summary>
    public static long TornBytes(ILogFile file, long position, long offset)
    {
        Span<byte> start = stackalloc byte[RecordBatchHeader.Size];
        int filled = file.Read(start, position);
        return RecordBatchHeader.TryRead(start[..filled], out RecordBatchHeader header, out _) && header.BaseOffset == offset
            ? Math.Min(header.TotalLength, file.Length - position)
            : 0;
    }

    /// <summary>The first whole, good batch at or behind a position whose offset is within the limits.</summary>
    private static (long Position, long Offset)? FindBatch(ILogFile file, long position, long minOffset, long endOffset)
    {
        long maxOffset = Math.Min(endOffset, minOffset > long.MaxValue - MaxOffsetsAhead ? long.MaxValue : minOffset + MaxOffsetsAhead);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(ChunkSize);
        try
        {
            while (true)
            {
                int filled = Fill(file, buffer, position);
                if (filled < RecordBatchHeader.Size)
                    return null;

                int last = filled - RecordBatchHeader.Size;
                for (int at = 0; at <= last; at++)
                {
                    // Most bytes are ruled out by the magic; what it lets through, by the offset.
                    int skip = buffer.AsSpan(at + RecordBatchHeader.MagicPosition, last - at + 1).IndexOf(RecordBatchHeader.Magic);
                    if (skip < 0)
                        break;

                    at += skip;
                    long offset = BinaryPrimitives.ReadInt64BigEndian(buffer.AsSpan(at));
                    if (offset >= minOffset && offset < maxOffset && IsGoodBatch(file, position + at))
                        return (position + at, offset);
                }

                position += last + 1;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static bool IsGoodBatch(ILogFile file, long position)
    {
        Span<byte> start = stackalloc byte[RecordBatchHeader.Size];
        int filled = file.Read(start, position);
        if (!RecordBatchHeader.TryRead(start[..filled], out RecordBatchHeader header, out _) || header.TotalLength > file.Length - position)
            return false;

        byte[] batch = ArrayPool<byte>.Shared.Rent(header.TotalLength);
        try
        {
            return Fill(file, batch.AsSpan(0, header.TotalLength), position) == header.TotalLength
                && RecordBatchHeader.VerifyChecksum(batch.AsSpan(0, header.TotalLength));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(batch);
        }
    }

    // By reference: where a read fails, the caller gives back the buffer that it has then, not the one it had.
    private static int Refill(ILogFile file, ref byte[] buffer, long position, int wanted)
    {
        if (buffer.Length < wanted)
        {
            byte[] larger = ArrayPool<byte>.Shared.Rent(wanted);
            ArrayPool<byte>.Shared.Return(buffer);
            buffer = larger;
        }

        return Fill(file, buffer, position);
    }

    private static int Fill(ILogFile file, Span<byte> buffer, long position)
    {
        int filled = 0;
        int read;
        while (filled < buffer.Length && (read = file.Read(buffer[filled..], position + filled)) > 0)
            filled += read;

        return filled;
    }
}
