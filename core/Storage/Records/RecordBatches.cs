namespace EdgeStream.Storage.Records;

/// <summary>Works on several batches that stand one behind the other, as in a segment or a fetch response.</summary>
public static class RecordBatches
{
    /// <summary>Makes sure that bytes are whole batches, one at least, whose checksums are right.</summary>
    /// <exception cref="CorruptBatchException">They are not.</exception>
    public static void Verify(ReadOnlySpan<byte> batches)
    {
        if (batches.IsEmpty)
            throw new CorruptBatchException("there is no batch to append");

        while (!batches.IsEmpty)
        {
            if (!RecordBatchHeader.TryRead(batches, out RecordBatchHeader header, out string? problem))
                throw new CorruptBatchException($"not a record batch: {problem}");

            if (header.TotalLength > batches.Length)
                throw new CorruptBatchException($"a batch of {header.TotalLength} bytes was cut short to {batches.Length}");

            if (!RecordBatchHeader.VerifyChecksum(batches[..header.TotalLength]))
                throw new CorruptBatchException("the checksum of a batch is wrong; it was damaged on its way");

            batches = batches[header.TotalLength..];
        }
    }

    /// <summary>The offset of the first record at or after a time (ms since 1970); null where there is none in these batches.</summary>
    public static long? FindByTime(ReadOnlyMemory<byte> batches, long timestamp)
    {
        foreach ((RecordBatchHeader header, ReadOnlyMemory<byte> batch) in Split(batches))
        {
            if (header.MaxTimestamp >= timestamp && FindInBatch(batch, header, timestamp) is { } found)
                return found;
        }

        return null;
    }

    /// <summary>
    /// Each batch with its header, while it is asked for. Headers and lengths are checked, checksums are not: who opens
    /// or appends a batch does that.
    /// </summary>
    /// <exception cref="CorruptBatchException">
    /// Thrown while enumerating, after the whole batches before: the bytes are no batch, or end inside one.
    /// </exception>
    public static IEnumerable<(RecordBatchHeader Header, ReadOnlyMemory<byte> Batch)> Split(ReadOnlyMemory<byte> batches)
    {
        while (!batches.IsEmpty)
        {
            if (!RecordBatchHeader.TryRead(batches.Span, out RecordBatchHeader header, out string? problem))
                throw new CorruptBatchException($"not a record batch: {problem}");
            if (header.TotalLength > batches.Length)
                throw new CorruptBatchException($"a batch of {header.TotalLength} bytes is cut short after {batches.Length}");

            yield return (header, batches[..header.TotalLength]);
            batches = batches[header.TotalLength..];
        }
    }

    private static long? FindInBatch(ReadOnlyMemory<byte> batch, in RecordBatchHeader header, long timestamp)
    {
        try
        {
            using RecordBatchReader reader = RecordBatchReader.Open(batch);
            while (reader.TryRead(out Record record))
            {
                if (record.Timestamp >= timestamp)
                    return record.Offset;
            }

            return null;
        }
        catch (CorruptBatchException)
        {
            // Its header is all that can be told of it.
            return header.BaseOffset;
        }
    }
}
