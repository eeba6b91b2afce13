using System.Buffers.Binary;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Records;

namespace EdgeStream.Storage.Tools;

/// <summary>Reads a partition's ledger of gaps without putting it in order, as opening it would.</summary>
internal static class LedgerFile
{
    private const int EntrySize = 64;
    private const int CrcPosition = EntrySize - sizeof(uint);
    private const int MaxSize = 64 * 1024 * 1024;

    /// <summary>The gaps that can be read; none where there is no ledger.</summary>
    /// <exception cref="EdgeStreamException">It was written by a newer version of this program.</exception>
    public static GapLedger Read(IStorageFiles files, string directory) => GapLedger.Open(new ReadOnlyFiles(files), directory);

    /// <summary>Where entries are damaged, in bytes. The header counts as one.</summary>
    public static IReadOnlyList<long> DamagedEntries(IStorageFiles files, string directory)
    {
        byte[] contents = SmallFile.TryRead(files, Path.Combine(directory, GapLedger.FileName), MaxSize) ?? [];
        var damaged = new List<long>();
        for (int at = 0; at + EntrySize <= contents.Length; at += EntrySize)
        {
            ReadOnlySpan<byte> entry = contents.AsSpan(at, EntrySize);
            bool good = at == 0
                ? entry.StartsWith("ESGL"u8)
                : !entry.ContainsAnyExcept((byte)0)
                    || BinaryPrimitives.ReadUInt32BigEndian(entry[CrcPosition..]) == Crc32C.Compute(entry[..CrcPosition]);
            if (!good)
                damaged.Add(at);
        }

        return damaged;
    }
}
