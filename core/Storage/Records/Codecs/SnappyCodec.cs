using System.Buffers.Binary;
using Snappier;

namespace EdgeStream.Storage.Records.Codecs;

/// <summary>
/// Snappy in the two shapes that Kafka clients write: one raw block (librdkafka), or the framing of the snappy-java
/// library (Java clients): a header of 16 bytes, then blocks that each follow their length. Writes raw blocks, which both
/// kinds of client read.
/// </summary>
internal static class SnappyCodec
{
    private const int JavaHeaderSize = 16;

    private static ReadOnlySpan<byte> JavaMagic => [0x82, (byte)'S', (byte)'N', (byte)'A', (byte)'P', (byte)'P', (byte)'Y', 0];

    public static void Compress(ReadOnlySpan<byte> records, PooledBuffer destination) =>
        destination.Advance(Snappy.Compress(records, destination.GetSpan(Snappy.GetMaxCompressedLength(records.Length))));

    public static void Decompress(ReadOnlySpan<byte> compressed, PooledBuffer destination)
    {
        if (!compressed.StartsWith(JavaMagic))
        {
            DecompressBlock(compressed, destination);
            return;
        }

        if (compressed.Length < JavaHeaderSize)
            throw new CorruptBatchException("the snappy framing is cut short");

        // The header's two version numbers never changed and decide nothing.
        ReadOnlySpan<byte> rest = compressed[JavaHeaderSize..];
        while (!rest.IsEmpty)
        {
            if (!BinaryPrimitives.TryReadInt32BigEndian(rest, out int length) || (uint)length > (uint)(rest.Length - sizeof(int)))
                throw new CorruptBatchException("the snappy framing is cut short");

            DecompressBlock(rest.Slice(sizeof(int), length), destination);
            rest = rest[(sizeof(int) + length)..];
        }
    }

    private static void DecompressBlock(ReadOnlySpan<byte> block, PooledBuffer destination)
    {
        // A block starts with its decompressed size, which is a claim. The densest element is a copy of 64 bytes that
        // takes 3, so that a claim of over 22 times the block cannot be true and must not get its memory.
        int size = Snappy.GetUncompressedLength(block);
        if (size < 0 || size > 22L * block.Length)
            throw new CorruptBatchException($"a snappy block of {block.Length} bytes claims to hold {(uint)size}");

        RecordsCodec.CheckUncompressedSize((long)destination.Length + size);
        destination.Advance(Snappy.Decompress(block, destination.GetSpan(size)[..size]));
    }
}
