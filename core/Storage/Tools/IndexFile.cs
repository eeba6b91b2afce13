using System.Buffers.Binary;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Records;
using EdgeStream.Storage.Segments;

namespace EdgeStream.Storage.Tools;

/// <summary>Looks into one index file of a segment (<see cref="SegmentIndex"/> says how it is built).</summary>
internal static class IndexFile
{
    private const int HeaderSize = 2 * sizeof(long);
    private const int CrcSize = sizeof(uint);
    private const int OffsetEntrySize = 8;
    private const int MaxSize = 8 * 1024 * 1024;

    /// <summary>
    /// Whether there is an index. An empty file is none: indexes are not synced, and an interrupted write leaves them so.
    /// </summary>
    public static bool Exists(IStorageFiles files, string path) => SmallFile.TryRead(files, path, MaxSize) is not { Length: 0 } && files.FileExists(path);

    /// <summary>What is wrong with the file as a whole; null where nothing is, or where there is no index.</summary>
    public static string? Problem(IStorageFiles files, string path, long baseOffset)
    {
        if (!Exists(files, path))
            return null;

        byte[]? contents = SmallFile.TryRead(files, path, MaxSize);
        if (contents is null)
            return files.FileExists(path) ? "the index is too large to be one" : null;

        if (contents.Length < HeaderSize + CrcSize)
            return $"the index is cut short after {contents.Length} bytes";

        if (BinaryPrimitives.ReadUInt32BigEndian(contents.AsSpan(^CrcSize..)) != Crc32C.Compute(contents.AsSpan(..^CrcSize)))
            return "the checksum of the index is wrong";

        long named = BinaryPrimitives.ReadInt64BigEndian(contents);
        return named == baseOffset ? null : $"this is the index of the segment at offset {named}";
    }

    /// <summary>The offsets that an offset index names, by position in bytes; none where it is missing or not good.</summary>
    public static Dictionary<long, long> OffsetsByPosition(IStorageFiles files, string directory, long baseOffset)
    {
        string path = Path.Combine(directory, SegmentFileName.OffsetIndex(baseOffset));
        var offsets = new Dictionary<long, long>();
        if (Problem(files, path, baseOffset) is not null || SmallFile.TryRead(files, path, MaxSize) is not { } contents)
            return offsets;

        for (int at = HeaderSize; at + OffsetEntrySize <= contents.Length - CrcSize; at += OffsetEntrySize)
        {
            ReadOnlySpan<byte> entry = contents.AsSpan(at, OffsetEntrySize);
            offsets[BinaryPrimitives.ReadUInt32BigEndian(entry[4..])] = baseOffset + BinaryPrimitives.ReadUInt32BigEndian(entry);
        }

        return offsets;
    }
}
