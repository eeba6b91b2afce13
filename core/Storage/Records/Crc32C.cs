using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;

namespace EdgeStream.Storage.Records;

/// <summary>
/// CRC-32C (Castagnoli polynomial 0x1EDC6F41, reflected; RFC 3720 section B.4), by the processor's own instruction
/// where it has one: <see cref="BitOperations.Crc32C(uint, ulong)"/> picks SSE4.2 or the ARMv8 CRC extension at run time.
/// </summary>
/// <remarks>
/// The instruction takes one word a cycle, but hands its result on only three cycles later. So long input is read in three
/// lanes at once, whose checksums are put together at the end: as the checksum is linear, that of a lane which others follow is
/// what it becomes by as many zero bytes, combined with theirs.
/// </remarks>
public static class Crc32C
{
    /// <summary>Bytes of one lane; input shorter than three of them goes word by word.</summary>
    internal const int LaneSize = 1024;

    // What LaneSize zero bytes make of a checksum, for each value of each of its four bytes.
    private static readonly uint[] PastLane = CreatePastLane();

    public static uint Compute(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        while (data.Length >= 3 * LaneSize)
        {
            crc = AddLanes(crc, data);
            data = data[(3 * LaneSize)..];
        }

        foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(data))
            crc = Add(crc, word);

        foreach (byte b in data[(data.Length & ~7)..])
            crc = BitOperations.Crc32C(crc, b);

        return ~crc;
    }

    private static uint AddLanes(uint crc, ReadOnlySpan<byte> data)
    {
        ReadOnlySpan<ulong> first = MemoryMarshal.Cast<byte, ulong>(data[..LaneSize]);
        ReadOnlySpan<ulong> second = MemoryMarshal.Cast<byte, ulong>(data.Slice(LaneSize, LaneSize));
        ReadOnlySpan<ulong> third = MemoryMarshal.Cast<byte, ulong>(data.Slice(2 * LaneSize, LaneSize));
        uint secondCrc = 0, thirdCrc = 0;
        for (int i = 0; i < first.Length && i < second.Length && i < third.Length; i++)
        {
            crc = Add(crc, first[i]);
            secondCrc = Add(secondCrc, second[i]);
            thirdCrc = Add(thirdCrc, third[i]);
        }

        return SkipLane(SkipLane(crc) ^ secondCrc) ^ thirdCrc;
    }

    private static uint Add(uint crc, ulong word) =>
        BitOperations.Crc32C(crc, BitConverter.IsLittleEndian ? word : BinaryPrimitives.ReverseEndianness(word));

    private static uint SkipLane(uint crc) =>
        PastLane[crc & 0xFF] ^ PastLane[256 + ((crc >> 8) & 0xFF)] ^ PastLane[512 + ((crc >> 16) & 0xFF)] ^ PastLane[768 + (crc >> 24)];

    private static uint[] CreatePastLane()
    {
        uint[] table = new uint[4 * 256];
        for (int i = 0; i < table.Length; i++)
        {
            uint crc = (uint)(i % 256) << (8 * (i / 256));
            for (int word = 0; word < LaneSize / sizeof(ulong); word++)
                crc = BitOperations.Crc32C(crc, 0UL);

            table[i] = crc;
        }

        return table;
    }
}
