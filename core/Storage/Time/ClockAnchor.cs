using System.Buffers.Binary;
using EdgeStream.Storage.Records;

namespace EdgeStream.Storage.Time;

/// <summary>What the clocks showed just before the record with an offset was stored.</summary>
/// <remarks>
/// On disk 48 bytes, big-endian: offset i64, boot id 16 bytes (RFC 9562 order), monotonic ms i64, wall ms i64, flags u32 (bit 0:
/// synchronised), CRC-32C u32 of all before it.
/// </remarks>
/// <param name="Offset">The first record that this is about; it need not exist yet.</param>
/// <param name="Reading">The clocks.</param>
public readonly record struct ClockAnchor(long Offset, ClockReading Reading)
{
    public const int Size = 48;

    private const int CrcPosition = Size - sizeof(uint);
    private const uint SynchronisedFlag = 1;

    // In ms, about 140,000 years either way: sums of a few of them cannot overflow.
    private const long Furthest = 1L << 52;

    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteInt64BigEndian(destination, Offset);
        Reading.BootId.TryWriteBytes(destination[8..], bigEndian: true, out _);
        BinaryPrimitives.WriteInt64BigEndian(destination[24..], Reading.Monotonic);
        BinaryPrimitives.WriteInt64BigEndian(destination[32..], Reading.Wall);
        BinaryPrimitives.WriteUInt32BigEndian(destination[40..], Reading.Synchronised ? SynchronisedFlag : 0);
        BinaryPrimitives.WriteUInt32BigEndian(destination[CrcPosition..], Crc32C.Compute(destination[..CrcPosition]));
    }

    /// <summary>False where the source is too short, or is no anchor that <see cref="Write"/> wrote.</summary>
    public static bool TryRead(ReadOnlySpan<byte> source, out ClockAnchor anchor)
    {
        anchor = default;
        if (source.Length < Size || BinaryPrimitives.ReadUInt32BigEndian(source[CrcPosition..]) != Crc32C.Compute(source[..CrcPosition]))
            return false;

        long offset = BinaryPrimitives.ReadInt64BigEndian(source);
        var bootId = new Guid(source.Slice(8, 16), bigEndian: true);
        long monotonic = BinaryPrimitives.ReadInt64BigEndian(source[24..]);
        long wall = BinaryPrimitives.ReadInt64BigEndian(source[32..]);
        bool synchronised = (BinaryPrimitives.ReadUInt32BigEndian(source[40..]) & SynchronisedFlag) != 0;
        if (offset < 0 || monotonic is < 0 or > Furthest || wall is < -Furthest or > Furthest)
            return false;

        anchor = new ClockAnchor(offset, new ClockReading(bootId, monotonic, wall, synchronised));
        return true;
    }
}
