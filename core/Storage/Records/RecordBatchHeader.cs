using System.Buffers.Binary;

namespace EdgeStream.Storage.Records;

/// <summary>
/// The fixed 61 bytes in front of a record batch's records, big-endian, as "Record Batch" in Kafka's protocol guide
/// (https://kafka.apache.org/documentation/#recordbatch) defines them for magic 2.
/// </summary>
/// <param name="BaseOffset">Offset of the first record. Outside the checksum, so that the log can assign it.</param>
/// <param name="BatchLength">Bytes that follow the length field itself; see <see cref="TotalLength"/>.</param>
/// <param name="PartitionLeaderEpoch">Outside the checksum as well.</param>
/// <param name="Crc">CRC-32C of everything from the attributes to the end of the batch.</param>
/// <param name="Attributes">Codec (bits 0-2), timestamp type (3), transactional (4), control (5).</param>
/// <param name="LastOffsetDelta">Offset of the last record minus the base offset.</param>
/// <param name="BaseTimestamp">Timestamp of the first record, in milliseconds since 1970.</param>
/// <param name="MaxTimestamp">The largest timestamp of the batch, in milliseconds since 1970.</param>
/// <param name="ProducerId">-1 where the producer is not idempotent.</param>
/// <param name="ProducerEpoch">-1 where the producer is not idempotent.</param>
/// <param name="BaseSequence">-1 where the producer is not idempotent.</param>
/// <param name="RecordCount">Number of records in the batch.</param>
public readonly record struct RecordBatchHeader(
    long BaseOffset,
    int BatchLength,
    int PartitionLeaderEpoch,
    uint Crc,
    short Attributes,
    int LastOffsetDelta,
    long BaseTimestamp,
    long MaxTimestamp,
    long ProducerId,
    short ProducerEpoch,
    int BaseSequence,
    int RecordCount)
{
    /// <summary>Bytes of the header, and so the least that a batch can have.</summary>
    public const int Size = 61;

    /// <summary>Bytes of base offset and batch length, which <see cref="BatchLength"/> does not count.</summary>
    public const int LengthPrefixSize = 12;

    public const byte Magic = 2;

    /// <summary>
    /// The largest batch that is accepted anywhere, in bytes. Far above what a sensor sends and far below what a small
    /// device could not hold in memory.
    /// </summary>
    public const int MaxBatchSize = 4 * 1024 * 1024;

    internal const int LeaderEpochPosition = 12;
    internal const int MagicPosition = 16;
    internal const int CrcPosition = 17;
    internal const int AttributesPosition = 21;

    internal const short CodecMask = 0x07;
    internal const short LogAppendTimeFlag = 0x08;

    /// <summary>Bytes of the whole batch, header included.</summary>
    public int TotalLength => LengthPrefixSize + BatchLength;

    public long LastOffset => BaseOffset + LastOffsetDelta;

    /// <summary>The offset that follows the batch.</summary>
    public long NextOffset => LastOffset + 1;

    public CompressionCodec Codec => (CompressionCodec)(Attributes & CodecMask);

    /// <summary>
    /// Whether a broker stamped the batch when it was appended. All its records then have <see cref="MaxTimestamp"/>,
    /// whatever they carry themselves.
    /// </summary>
    public bool HasLogAppendTime => (Attributes & LogAppendTimeFlag) != 0;

    /// <summary>
    /// Reads and checks a header: magic, lengths and counts that can be. Says nothing about the checksum; that is
    /// <see cref="VerifyChecksum"/>'s part.
    /// </summary>
    /// <param name="bytes">Starts with the header; may be longer or cut short.</param>
    /// <param name="header">The header, where the result is true.</param>
    /// <param name="problem">What is wrong, in a few words, where the result is false.</param>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out RecordBatchHeader header, out string? problem)
    {
        header = default;
        if (bytes.Length < Size)
        {
            problem = $"{bytes.Length} bytes are too few for a batch header of {Size}";
            return false;
        }

        byte magic = bytes[MagicPosition];
        if (magic != Magic)
        {
            problem = $"the magic byte is {magic}, not {Magic}";
            return false;
        }

        header = new RecordBatchHeader(
            BinaryPrimitives.ReadInt64BigEndian(bytes),
            BinaryPrimitives.ReadInt32BigEndian(bytes[8..]),
            BinaryPrimitives.ReadInt32BigEndian(bytes[LeaderEpochPosition..]),
            BinaryPrimitives.ReadUInt32BigEndian(bytes[CrcPosition..]),
            BinaryPrimitives.ReadInt16BigEndian(bytes[AttributesPosition..]),
            BinaryPrimitives.ReadInt32BigEndian(bytes[23..]),
            BinaryPrimitives.ReadInt64BigEndian(bytes[27..]),
            BinaryPrimitives.ReadInt64BigEndian(bytes[35..]),
            BinaryPrimitives.ReadInt64BigEndian(bytes[43..]),
            BinaryPrimitives.ReadInt16BigEndian(bytes[51..]),
            BinaryPrimitives.ReadInt32BigEndian(bytes[53..]),
            BinaryPrimitives.ReadInt32BigEndian(bytes[57..]));

        problem = header switch
        {
            { BatchLength: < Size - LengthPrefixSize or > MaxBatchSize - LengthPrefixSize } =>
                $"the batch length {header.BatchLength} is outside {Size - LengthPrefixSize}..{MaxBatchSize - LengthPrefixSize}",
            { BaseOffset: < 0 } => $"the base offset {header.BaseOffset} is negative",
            { RecordCount: < 1 } => $"the record count {header.RecordCount} is not positive",
            // Offsets are dense: a compacted batch (fewer records than offsets) is never written by this log.
            { LastOffsetDelta: var last } when last != header.RecordCount - 1 =>
                $"the last offset delta {last} does not fit {header.RecordCount} records",
            { Codec: > CompressionCodec.Zstd } => $"the codec {(int)header.Codec} is unknown",
            _ when header.BaseOffset > long.MaxValue - header.RecordCount => $"the base offset {header.BaseOffset} is too large",
            _ => null,
        };
        return problem is null;
    }

    /// <summary>Writes the header's 61 bytes as they are, checksum included.</summary>
    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteInt64BigEndian(destination, BaseOffset);
        BinaryPrimitives.WriteInt32BigEndian(destination[8..], BatchLength);
        BinaryPrimitives.WriteInt32BigEndian(destination[LeaderEpochPosition..], PartitionLeaderEpoch);
        destination[MagicPosition] = Magic;
        BinaryPrimitives.WriteUInt32BigEndian(destination[CrcPosition..], Crc);
        BinaryPrimitives.WriteInt16BigEndian(destination[AttributesPosition..], Attributes);
        BinaryPrimitives.WriteInt32BigEndian(destination[23..], LastOffsetDelta);
        BinaryPrimitives.WriteInt64BigEndian(destination[27..], BaseTimestamp);
        BinaryPrimitives.WriteInt64BigEndian(destination[35..], MaxTimestamp);
        BinaryPrimitives.WriteInt64BigEndian(destination[43..], ProducerId);
        BinaryPrimitives.WriteInt16BigEndian(destination[51..], ProducerEpoch);
        BinaryPrimitives.WriteInt32BigEndian(destination[53..], BaseSequence);
        BinaryPrimitives.WriteInt32BigEndian(destination[57..], RecordCount);
    }

    /// <summary>Assigns the base offset of an encoded batch in place. The checksum stays true: it does not cover it.</summary>
    public static void SetBaseOffset(Span<byte> batch, long baseOffset) =>
        BinaryPrimitives.WriteInt64BigEndian(batch, baseOffset);

    /// <summary>Gives an encoded batch another producer's number in place, and the checksum that goes with it.</summary>
    public static void SetProducer(Span<byte> batch, long producerId, short producerEpoch, int baseSequence)
    {
        BinaryPrimitives.WriteInt64BigEndian(batch[43..], producerId);
        BinaryPrimitives.WriteInt16BigEndian(batch[51..], producerEpoch);
        BinaryPrimitives.WriteInt32BigEndian(batch[53..], baseSequence);
        SealChecksum(batch);
    }

    /// <summary>Computes the checksum of an encoded batch and writes it into its place.</summary>
    internal static void SealChecksum(Span<byte> batch) =>
        BinaryPrimitives.WriteUInt32BigEndian(batch[CrcPosition..], Crc32C.Compute(batch[AttributesPosition..]));

    /// <summary>Whether the checksum that stands in the batch is that of its bytes.</summary>
    /// <param name="batch">Exactly one whole batch.</param>
    public static bool VerifyChecksum(ReadOnlySpan<byte> batch) =>
        Crc32C.Compute(batch[AttributesPosition..]) == BinaryPrimitives.ReadUInt32BigEndian(batch[CrcPosition..]);
}
