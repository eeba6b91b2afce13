using System.Buffers;
using EdgeStream.Storage.Records;

namespace EdgeStream.Storage.Log;

/// <summary>Reads a segment through, batch by batch, to find its end and to rebuild its index.</summary>
internal static class SegmentScanner
{
    private const int ChunkSize = 256 * 1024;

    /// <summary>
    /// Sets the segment's position behind its last good batch and fills its index. A batch is good if its header is, its
    /// checksum is right and it continues the one before.
    /// </summary>
    /// <returns>The offset that follows the last good batch.</returns>
    public static long Scan(ActiveSegment segment)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(ChunkSize);
        try
        {
            long expected = segment.BaseOffset;
            int filled = 0;
            long bufferStart = 0;
            int at = 0;
            while (true)
            {
                ReadOnlySpan<byte> rest = buffer.AsSpan(at, filled - at);
                bool parsed = RecordBatchHeader.TryRead(rest, out RecordBatchHeader header, out _);
                int wanted = parsed ? header.TotalLength : RecordBatchHeader.Size;
                if (rest.Length < wanted)
                {
                    bufferStart += at;
                    filled = Refill(segment, ref buffer, bufferStart, wanted);
                    at = 0;
                    if (filled < wanted)
                        break;

                    continue;
                }

                if (!parsed || header.BaseOffset != expected || !RecordBatchHeader.VerifyChecksum(rest[..header.TotalLength]))
                    break;

                segment.Index.Add(header.BaseOffset - segment.BaseOffset, bufferStart + at, header.MaxTimestamp);
                expected = header.NextOffset;
                at += header.TotalLength;
            }

            segment.Position = bufferStart + at;
            return expected;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    // By reference: where a read fails, the caller gives back the buffer that it has then, not the one it had.
    private static int Refill(ActiveSegment segment, ref byte[] buffer, long position, int wanted)
    {
        if (buffer.Length < wanted)
        {
            byte[] larger = ArrayPool<byte>.Shared.Rent(wanted);
            ArrayPool<byte>.Shared.Return(buffer);
            buffer = larger;
        }

        int filled = 0;
        int read;
        while (filled < buffer.Length && (read = segment.File.Read(buffer.AsSpan(filled), position + filled)) > 0)
            filled += read;

        return filled;
    }
}
