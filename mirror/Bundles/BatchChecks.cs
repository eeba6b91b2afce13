using EdgeStream.Storage.Records;

namespace EdgeStream.Mirror.Bundles;

/// <summary>What holds for batches on both sides of a bundle.</summary>
internal static class BatchChecks
{
    /// <summary>Checks headers, checksums, and that each batch goes on where the one before ends; the offset that follows.</summary>
    /// <exception cref="CorruptBatchException">One of it does not hold.</exception>
    public static long Verify(ReadOnlyMemory<byte> batches, long expectedOffset)
    {
        foreach ((RecordBatchHeader header, ReadOnlyMemory<byte> batch) in RecordBatches.Split(batches))
        {
            if (header.BaseOffset != expectedOffset)
                throw new CorruptBatchException($"a batch begins at offset {header.BaseOffset} where {expectedOffset} goes on");

            if (!RecordBatchHeader.VerifyChecksum(batch.Span))
                throw new CorruptBatchException($"the checksum of the batch at offset {header.BaseOffset} is wrong");

            expectedOffset = header.NextOffset;
        }

        return expectedOffset;
    }
}
