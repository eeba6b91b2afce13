using System.Buffers.Binary;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Records;

namespace EdgeStream.Storage.Log;

/// <summary>
/// Where recovery may start, and how far the hub is known to be. A hint that is allowed to be old: what it says was true when
/// it was written, and both numbers only grow. So it is replaced without a sync of its own: it costs the card nothing.
/// </summary>
/// <remarks>
/// File <c>checkpoint</c>, 28 bytes, big-endian: magic "ESCP" u32, version u32 (1), recovery point i64, mirrored i64,
/// CRC-32C u32 of all before it.
/// </remarks>
/// <param name="RecoveryPoint">Everything below it was durable.</param>
/// <param name="Mirrored">Everything below it was durable at the hub.</param>
public readonly record struct LogCheckpoint(long RecoveryPoint, long Mirrored)
{
    public const string FileName = "checkpoint";

    private const uint Magic = 0x45534350;
    private const uint Version = 1;
    private const int Size = 28;
    private const int CrcPosition = 24;

    /// <summary>The checkpoint in a partition's directory; null where there is none that can be trusted.</summary>
    public static LogCheckpoint? TryRead(IStorageFiles files, string directory)
    {
        byte[]? contents = SmallFile.TryRead(files, Path.Combine(directory, FileName));
        if (contents is not { Length: Size })
            return null;

        uint magic = BinaryPrimitives.ReadUInt32BigEndian(contents);
        uint version = BinaryPrimitives.ReadUInt32BigEndian(contents.AsSpan(4));
        long recoveryPoint = BinaryPrimitives.ReadInt64BigEndian(contents.AsSpan(8));
        long mirrored = BinaryPrimitives.ReadInt64BigEndian(contents.AsSpan(16));
        uint crc = BinaryPrimitives.ReadUInt32BigEndian(contents.AsSpan(CrcPosition));
        bool valid = magic == Magic && version == Version && crc == Crc32C.Compute(contents.AsSpan(0, CrcPosition))
            && recoveryPoint >= 0 && mirrored >= 0;
        return valid ? new LogCheckpoint(recoveryPoint, mirrored) : null;
    }

    public void Write(IStorageFiles files, string directory)
    {
        byte[] contents = new byte[Size];
        BinaryPrimitives.WriteUInt32BigEndian(contents, Magic);
        BinaryPrimitives.WriteUInt32BigEndian(contents.AsSpan(4), Version);
        BinaryPrimitives.WriteInt64BigEndian(contents.AsSpan(8), RecoveryPoint);
        BinaryPrimitives.WriteInt64BigEndian(contents.AsSpan(16), Mirrored);
        BinaryPrimitives.WriteUInt32BigEndian(contents.AsSpan(CrcPosition), Crc32C.Compute(contents.AsSpan(0, CrcPosition)));

        string path = Path.Combine(directory, FileName);
        string temporary = path + ".tmp";
        files.Delete(temporary);
        using (ILogFile file = files.Create(temporary))
            file.Write([contents], 0);

        files.Rename(temporary, path);
    }
}
