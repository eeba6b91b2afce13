namespace EdgeStream.Storage.Records;

/// <summary>
/// Bytes that claim to be a record batch are not one: cut short, a wrong checksum, lengths that contradict each other.
/// The only exception that decoding raises, whatever the input.
/// </summary>
public sealed class CorruptBatchException : EdgeStreamException
{
    public CorruptBatchException(string message)
        : base(message)
    {
    }

    public CorruptBatchException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
