using System.Buffers.Binary;
using EdgeStream.Storage.Records;

namespace EdgeStream.Storage.Time;

/// <summary>What <see cref="AgeClock"/> keeps on disk.</summary>
/// <remarks>
/// 56 bytes, big-endian: magic "ESAG" u32, version u32 (1), age ms i64, boot id 16 bytes (RFC 9562 order), monotonic ms i64, flags
/// u32 (bit 0: settled, bit 1: there is an origin), origin ms i64, CRC-32C u32 of all before it.
/// </remarks>
/// <param name="Age">The age clock, in ms.</param>
/// <param name="BootId">The boot in which it showed that.</param>
/// <param name="Monotonic">When, by that boot's monotonic clock in ms.</param>
/// <param name="IsSettled">Whether the time before that boot in which the machine was off has been dealt with.</param>
/// <param name="Origin">The wall clock's time, in ms, at which the age clock was 0; null where the time was never known.</param>
internal readonly record struct AgeState(long Age, Guid BootId, long Monotonic, bool IsSettled, long? Origin)
{
    private const uint Magic = 0x45534147;
    private const uint Version = 1;
    private const int Size = 56;
    private const int CrcPosition = Size - sizeof(uint);
    private const uint SettledFlag = 1;
    private const uint OriginFlag = 2;

    // In ms, about 17,000 years either way, which a TimeSpan can hold.
    private const long Furthest = 1L << 49;

    public byte[] ToBytes()
    {
        byte[] bytes = new byte[Size];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, Magic);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(4), Version);
        BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(8), Age);
        BootId.TryWriteBytes(bytes.AsSpan(16), bigEndian: true, out _);
        BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(32), Monotonic);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(40), (IsSettled ? SettledFlag : 0) | (Origin.HasValue ? OriginFlag : 0));
        BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(44), Origin ?? 0);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(CrcPosition), Crc32C.Compute(bytes.AsSpan(0, CrcPosition)));
        return bytes;
    }

    /// <summary>Null where these are not the bytes of a state that can be.</summary>
    public static AgeState? TryParse(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length != Size
            || BinaryPrimitives.ReadUInt32BigEndian(bytes) != Magic || BinaryPrimitives.ReadUInt32BigEndian(bytes[4..]) != Version
            || BinaryPrimitives.ReadUInt32BigEndian(bytes[CrcPosition..]) != Crc32C.Compute(bytes[..CrcPosition]))
        {
            return null;
        }

        long age = BinaryPrimitives.ReadInt64BigEndian(bytes[8..]);
        var bootId = new Guid(bytes.Slice(16, 16), bigEndian: true);
        long monotonic = BinaryPrimitives.ReadInt64BigEndian(bytes[32..]);
        uint flags = BinaryPrimitives.ReadUInt32BigEndian(bytes[40..]);
        long? origin = (flags & OriginFlag) != 0 ? BinaryPrimitives.ReadInt64BigEndian(bytes[44..]) : null;
        bool canBe = age is >= 0 and <= Furthest && monotonic is >= 0 and <= Furthest && origin is null or (>= -Furthest and <= Furthest);
        return canBe ? new AgeState(age, bootId, monotonic, (flags & SettledFlag) != 0, origin) : null;
    }
}
