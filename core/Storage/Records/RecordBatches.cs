namespace EdgeStream.Storage.Records;

/// <summary>Works on several batches that stand one behind the other, as in a segment or a fetch response.</summary>
public static class RecordBatches
{
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
}
