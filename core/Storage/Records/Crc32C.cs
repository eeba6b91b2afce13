using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;

namespace EdgeStream.Storage.Records;

/// <summary>
/// CRC-32C (Castagnoli polynomial 0x1EDC6F41, reflected; RFC 3720 section B.4), by the processor's own instruction
/// where it has one: <see cref="BitOperations.Crc32C(uint, ulong)"/> picks SSE4.2 or the ARMv8 CRC extension at run time.
/// </summary>
public static class Crc32C
{
    public static uint Compute(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(data))
            crc = BitOperations.Crc32C(crc, BitConverter.IsLittleEndian ? word : BinaryPrimitives.ReverseEndianness(word));

        foreach (byte b in data[(data.Length & ~7)..])
            crc = BitOperations.Crc32C(crc, b);

        return ~crc;
    }
}
