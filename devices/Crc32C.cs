using System.Buffers.Binary;
using System.Numerics;
using System.Text;

namespace EdgeStream.Devices;

/// <summary>
/// CRC-32C, for files that a disk may damage and for names. Not SHA-256: that is OpenSSL's here, some megabytes of memory, which a node
/// without TLS has no other use for.
/// </summary>
internal static class Crc32C
{
    public const int Size = sizeof(uint);

    public static uint Of(ReadOnlySpan<byte> bytes)
    {
        uint crc = uint.MaxValue;
        for (; bytes.Length >= sizeof(ulong); bytes = bytes[sizeof(ulong)..])
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(bytes));

        foreach (byte last in bytes)
            crc = BitOperations.Crc32C(crc, last);

        return ~crc;
    }

    /// <summary>Something short that tells texts apart, as part of a file's name.</summary>
    public static string Of(string text) => Of(Encoding.UTF8.GetBytes(text)).ToString("x8", System.Globalization.CultureInfo.InvariantCulture);
}
