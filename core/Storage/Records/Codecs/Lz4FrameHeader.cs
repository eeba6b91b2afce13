using System.Buffers.Binary;

namespace EdgeStream.Storage.Records.Codecs;

/// <summary>The descriptor in front of an LZ4 frame's blocks.</summary>
/// <param name="Size">Bytes of magic and descriptor; the first block follows.</param>
/// <param name="MaxBlockSize">The most bytes that a block may hold, decompressed.</param>
/// <param name="BlocksAreLinked">Whether a block may refer to the 64 KiB before it.</param>
/// <param name="HasBlockChecksums">Whether 4 bytes follow each block.</param>
/// <param name="HasContentChecksum">Whether 4 bytes follow the end mark.</param>
internal readonly record struct Lz4FrameHeader(
    int Size,
    int MaxBlockSize,
    bool BlocksAreLinked,
    bool HasBlockChecksums,
    bool HasContentChecksum)
{
    private const uint Magic = 0x184D2204;
    private const int SmallestSize = 7;

    public static Lz4FrameHeader Read(ReadOnlySpan<byte> frame)
    {
        if (frame.Length < SmallestSize || BinaryPrimitives.ReadUInt32LittleEndian(frame) != Magic)
            throw new CorruptBatchException("the records do not start with an lz4 frame");

        int flags = frame[4];
        if (flags >> 6 != 1 || (flags & 0x03) != 0)
            throw new CorruptBatchException($"the lz4 frame has unknown flags or a dictionary (0x{flags:x2})");

        // Codes 4 to 7 of the second byte: 64 KiB, 256 KiB, 1 MiB, 4 MiB.
        int code = (frame[5] >> 4) & 0x07;
        if (code < 4)
            throw new CorruptBatchException($"the lz4 frame has the unknown block size {code}");

        bool hasContentSize = (flags & 0x08) != 0;
        int size = SmallestSize + (hasContentSize ? sizeof(ulong) : 0);
        if (frame.Length < size)
            throw new CorruptBatchException("the lz4 frame is cut short");

        return new Lz4FrameHeader(
            size,
            MaxBlockSize: 1 << (8 + (2 * code)),
            BlocksAreLinked: (flags & 0x20) == 0,
            HasBlockChecksums: (flags & 0x10) != 0,
            HasContentChecksum: (flags & 0x04) != 0);
    }
}
