using System.Buffers.Binary;
using K4os.Compression.LZ4;

namespace EdgeStream.Storage.Records.Codecs;

/// <summary>
/// The LZ4 frame format (https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md). Frames are taken apart here, and
/// only the blocks by the library: its frame reader reserves up to 4 MiB, twice, for what one byte of the header claims.
/// Checksums inside the frame are skipped; the batch's own CRC-32C has covered every byte already.
/// </summary>
internal static class Lz4Codec
{
    private const int LengthSize = sizeof(uint);
    private const int BlockSize = 64 * 1024;
    private const int DictionarySize = 64 * 1024;
    private const uint StoredFlag = 0x8000_0000;

    // Version 1, independent blocks, no checksums, no content size; blocks of 64 KiB; the second byte of xxHash-32 of
    // these two. It is the frame that librdkafka writes.
    private static ReadOnlySpan<byte> WrittenHeader => [0x04, 0x22, 0x4D, 0x18, 0x60, 0x40, 0x82];

    public static void Compress(ReadOnlySpan<byte> records, PooledBuffer destination)
    {
        destination.Write(WrittenHeader);
        for (ReadOnlySpan<byte> rest = records; !rest.IsEmpty; rest = rest[Math.Min(BlockSize, rest.Length)..])
            WriteBlock(rest[..Math.Min(BlockSize, rest.Length)], destination);

        WriteLength(destination.GetSpan(LengthSize), 0);
        destination.Advance(LengthSize);
    }

    public static void Decompress(ReadOnlySpan<byte> compressed, PooledBuffer destination)
    {
        var frame = Lz4FrameHeader.Read(compressed);
        ReadOnlySpan<byte> rest = compressed[frame.Size..];
        int start = destination.Length;
        while (true)
        {
            uint word = ReadLength(rest);
            rest = rest[LengthSize..];
            if (word == 0)
                break;

            int length = (int)(word & ~StoredFlag);
            int trailer = frame.HasBlockChecksums ? sizeof(uint) : 0;
            if (length > rest.Length - trailer)
                throw new CorruptBatchException("the lz4 frame is cut short");

            bool stored = (word & StoredFlag) != 0;
            ReadBlock(rest[..length], stored, frame, start, destination);
            rest = rest[(length + trailer)..];
        }

        if (rest.Length != (frame.HasContentChecksum ? sizeof(uint) : 0))
            throw new CorruptBatchException("the lz4 frame has bytes after its end, or too few");
    }

    private static void WriteBlock(ReadOnlySpan<byte> block, PooledBuffer destination)
    {
        Span<byte> room = destination.GetSpan(LengthSize + LZ4Codec.MaximumOutputSize(block.Length));
        int length = LZ4Codec.Encode(block, room[LengthSize..]);
        if (length > 0 && length < block.Length)
        {
            WriteLength(room, (uint)length);
        }
        else
        {
            length = block.Length;
            block.CopyTo(room[LengthSize..]);
            WriteLength(room, (uint)length | StoredFlag);
        }

        destination.Advance(LengthSize + length);
    }

    private static void ReadBlock(ReadOnlySpan<byte> block, bool stored, in Lz4FrameHeader frame, int start, PooledBuffer destination)
    {
        if (stored)
        {
            RecordsCodec.CheckUncompressedSize((long)destination.Length + block.Length);
            destination.Write(block);
            return;
        }

        // No byte of a block stands for more than 255 of the content, so that a small block gets small room.
        int room = (int)Math.Min(frame.MaxBlockSize, 255L * block.Length);
        Span<byte> target = destination.GetSpan(room)[..room];
        ReadOnlySpan<byte> earlier = destination.WrittenSpan[start..];
        int length = frame.BlocksAreLinked && !earlier.IsEmpty
            ? LZ4Codec.Decode(block, target, earlier[^Math.Min(DictionarySize, earlier.Length)..])
            : LZ4Codec.Decode(block, target);
        if (length < 0)
            throw new CorruptBatchException("an lz4 block is malformed");

        destination.Advance(length);
        RecordsCodec.CheckUncompressedSize(destination.Length);
    }

    private static uint ReadLength(ReadOnlySpan<byte> source) =>
        BinaryPrimitives.TryReadUInt32LittleEndian(source, out uint length)
            ? length
            : throw new CorruptBatchException("the lz4 frame has no end mark");

    private static void WriteLength(Span<byte> destination, uint length) =>
        BinaryPrimitives.WriteUInt32LittleEndian(destination, length);
}
