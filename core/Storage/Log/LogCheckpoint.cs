using System.Buffers.Binary;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Records;

namespace EdgeStream.Storage.Log;

/// <summary>
/// Where recovery may start, and which marks the log is known to have passed. A hint that is allowed to be old: what it says was
/// true when it was written, and its numbers only grow. So it needs no sync of its own, and costs the card a block now and then.
/// </summary>
/// <remarks>
/// File <c>checkpoint</c>: two slots, each at the start of a disk sector of its own and written in turn, so that a power cut
/// leaves the older one. A slot is, big-endian: magic "ESCP" u32, version u32 (2), sequence u64, start i64, mirrored i64,
/// durable i64, segment i64, position i64, clean u32 (0 or 1), CRC-32C u32 of all before it. The good slot with the highest sequence counts.
/// </remarks>
/// <param name="Start">The log's first offset.</param>
/// <param name="Mirrored">Everything below it was durable at the hub.</param>
/// <param name="Durable">Everything below it was durable.</param>
/// <param name="Segment">Base offset of the segment in which <paramref name="Durable"/> lies.</param>
/// <param name="Position">Where in that segment's file, in bytes, <paramref name="Durable"/> comes to lie.</param>
/// <param name="IsClean">
/// Whether the log ended here when it was closed, with its index written; what lies behind, if anything, came later.
/// </param>
public readonly record struct LogCheckpoint(long Start, long Mirrored, long Durable, long Segment, long Position, bool IsClean)
{
    public const string FileName = "checkpoint";

    private const uint Magic = 0x45534350;
    private const uint Version = 2;
    private const int SectorSize = 512;
    private const int FileSize = 2 * SectorSize;
    private const int SlotSize = 64;
    private const int CrcPosition = SlotSize - sizeof(uint);

    /// <summary>The checkpoint in a partition's directory; null where there is none that can be trusted.</summary>
    public static LogCheckpoint? TryRead(IStorageFiles files, string directory) => ReadNewest(files, directory)?.Checkpoint;

    /// <summary>Puts the checkpoint into the older slot, for one caller at a time.</summary>
    /// <param name="files">The file system.</param>
    /// <param name="directory">The partition's directory.</param>
    /// <param name="sync">Whether it must be durable on return.</param>
    public void Write(IStorageFiles files, string directory, bool sync = false)
    {
        ulong sequence = ReadNewest(files, directory) is { } newest ? newest.Sequence + 1 : 0;
        byte[] slot = new byte[SlotSize];
        BinaryPrimitives.WriteUInt32BigEndian(slot, Magic);
        BinaryPrimitives.WriteUInt32BigEndian(slot.AsSpan(4), Version);
        BinaryPrimitives.WriteUInt64BigEndian(slot.AsSpan(8), sequence);
        BinaryPrimitives.WriteInt64BigEndian(slot.AsSpan(16), Start);
        BinaryPrimitives.WriteInt64BigEndian(slot.AsSpan(24), Mirrored);
        BinaryPrimitives.WriteInt64BigEndian(slot.AsSpan(32), Durable);
        BinaryPrimitives.WriteInt64BigEndian(slot.AsSpan(40), Segment);
        BinaryPrimitives.WriteInt64BigEndian(slot.AsSpan(48), Position);
        BinaryPrimitives.WriteUInt32BigEndian(slot.AsSpan(56), IsClean ? 1u : 0);
        BinaryPrimitives.WriteUInt32BigEndian(slot.AsSpan(CrcPosition), Crc32C.Compute(slot.AsSpan(0, CrcPosition)));

        string path = Path.Combine(directory, FileName);
        bool isNew = !files.FileExists(path);
        using (ILogFile file = isNew ? files.Create(path) : files.OpenForWriting(path))
        {
            if (file.Length < FileSize)
                file.Allocate(FileSize);

            file.Write([slot], (long)(sequence % 2) * SectorSize);
            if (sync)
                file.SyncData();
        }

        if (sync && isNew)
            files.SyncDirectory(directory);
    }

    private static (ulong Sequence, LogCheckpoint Checkpoint)? ReadNewest(IStorageFiles files, string directory)
    {
        byte[]? contents = SmallFile.TryRead(files, Path.Combine(directory, FileName));
        (ulong Sequence, LogCheckpoint Checkpoint)? newest = null;
        for (int position = 0; position + SlotSize <= contents?.Length; position += SectorSize)
        {
            if (TryReadSlot(contents.AsSpan(position, SlotSize)) is { } slot && !(newest?.Sequence > slot.Sequence))
                newest = slot;
        }

        return newest;
    }

    private static (ulong Sequence, LogCheckpoint Checkpoint)? TryReadSlot(ReadOnlySpan<byte> slot)
    {
        bool valid = BinaryPrimitives.ReadUInt32BigEndian(slot) == Magic
            && BinaryPrimitives.ReadUInt32BigEndian(slot[4..]) == Version
            && BinaryPrimitives.ReadUInt32BigEndian(slot[CrcPosition..]) == Crc32C.Compute(slot[..CrcPosition]);
        var checkpoint = new LogCheckpoint(
            BinaryPrimitives.ReadInt64BigEndian(slot[16..]),
            BinaryPrimitives.ReadInt64BigEndian(slot[24..]),
            BinaryPrimitives.ReadInt64BigEndian(slot[32..]),
            BinaryPrimitives.ReadInt64BigEndian(slot[40..]),
            BinaryPrimitives.ReadInt64BigEndian(slot[48..]),
            BinaryPrimitives.ReadUInt32BigEndian(slot[56..]) == 1);
        return valid ? (BinaryPrimitives.ReadUInt64BigEndian(slot[8..]), checkpoint) : null;
    }
}
