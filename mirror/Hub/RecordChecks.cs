using EdgeStream.Storage;
using EdgeStream.Storage.Records;

namespace EdgeStream.Mirror.Hub;

/// <summary>A batch that the hub will never take: what is in it cannot be read. What lies before it was taken.</summary>
internal sealed class PoisonBatchException(long first, long last, string problem)
    : EdgeStreamException($"the batch at offset {first} cannot be read: {problem}")
{
    public long First { get; } = first;

    public long Last { get; } = last;
}

/// <summary>Whether consumers will be able to read what a checksum says is whole.</summary>
internal static class RecordChecks
{
    /// <summary>The first batch whose records cannot be read, and how many bytes lie before it; null where all can.</summary>
    public static (int Position, PoisonBatchException Problem)? FindPoison(ReadOnlyMemory<byte> batches)
    {
        int position = 0;
        foreach ((RecordBatchHeader header, ReadOnlyMemory<byte> batch) in RecordBatches.Split(batches))
        {
            // A wrong checksum is not the batch's fault, it is the sender's; the log refuses it.
            if (!RecordBatchHeader.VerifyChecksum(batch.Span))
                break;

            try
            {
                using RecordBatchReader reader = RecordBatchReader.Open(batch);
                while (reader.TryRead(out _))
                {
                }
            }
            catch (CorruptBatchException problem)
            {
                return (position, new PoisonBatchException(header.BaseOffset, header.LastOffset, problem.Message));
            }

            position += batch.Length;
        }

        return null;
    }
}
