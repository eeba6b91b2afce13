using System.Diagnostics;
using System.Text;

namespace EdgeStream.Storage.Records;

/// <summary>
/// The bytes of one record inside a batch ("Record" in Kafka's protocol guide,
/// https://kafka.apache.org/documentation/#record): its length, then the body.
/// </summary>
internal static class RecordEncoder
{
    private const int NullLength = -1;

    /// <summary>Bytes of the record after its length. A long, because the parts can be larger than any batch.</summary>
    public static long BodySize(in Record record, long timestampDelta, int offsetDelta)
    {
        int headerCount = record.Headers?.Count ?? 0;
        long size = 1 // attributes
            + VarInt.SizeOf(timestampDelta)
            + VarInt.SizeOf(offsetDelta)
            + SizeOf(record.Key)
            + SizeOf(record.Value)
            + VarInt.SizeOf(headerCount);

        for (int i = 0; i < headerCount; i++)
        {
            RecordHeader header = record.Headers![i];
            int keySize = Encoding.UTF8.GetByteCount(header.Key);
            size += VarInt.SizeOf(keySize) + keySize + SizeOf(header.Value);
        }

        return size;
    }

    /// <summary>Fills <paramref name="destination"/>, which is exactly of the record's size.</summary>
    public static void Write(Span<byte> destination, in Record record, int bodySize, long timestampDelta, int offsetDelta)
    {
        int position = VarInt.Write(destination, bodySize);
        destination[position++] = 0; // attributes: none are defined for a record
        position += VarInt.Write(destination[position..], timestampDelta);
        position += VarInt.Write(destination[position..], offsetDelta);
        position += WriteBytes(destination[position..], record.Key);
        position += WriteBytes(destination[position..], record.Value);

        int headerCount = record.Headers?.Count ?? 0;
        position += VarInt.Write(destination[position..], headerCount);
        for (int i = 0; i < headerCount; i++)
        {
            RecordHeader header = record.Headers![i];
            position += VarInt.Write(destination[position..], Encoding.UTF8.GetByteCount(header.Key));
            position += Encoding.UTF8.GetBytes(header.Key, destination[position..]);
            position += WriteBytes(destination[position..], header.Value);
        }

        Debug.Assert(position == destination.Length, "The size and the bytes of a record are computed alike.");
    }

    private static long SizeOf(ReadOnlyMemory<byte>? bytes) =>
        bytes is { } present ? VarInt.SizeOf(present.Length) + (long)present.Length : VarInt.SizeOf(NullLength);

    private static int WriteBytes(Span<byte> destination, ReadOnlyMemory<byte>? bytes)
    {
        if (bytes is not { } present)
            return VarInt.Write(destination, NullLength);

        int size = VarInt.Write(destination, present.Length);
        present.Span.CopyTo(destination[size..]);
        return size + present.Length;
    }
}
