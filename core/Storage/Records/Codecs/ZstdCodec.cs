using System.Buffers;
using System.Numerics;
using ZstdSharp;
using ZstdSharp.Unsafe;

namespace EdgeStream.Storage.Records.Codecs;

/// <summary>
/// Zstandard (RFC 8878), written at level 1. Reading is by stream: decoding in one call is told by damaged input that its
/// room is too small, and would grow to the limit for nothing.
/// </summary>
internal static class ZstdCodec
{
    private const int Level = 1;
    private const int ChunkSize = 4096;

    // The decoder reserves the window that a frame's header asks for, and touches what it then fills. A larger window than
    // all records may have is refused; RFC 8878 asks decoders for 8 MiB, and levels up to 19 need no more.
    private static readonly int MaxWindowLog = BitOperations.Log2(RecordBatchReader.MaxUncompressedSize);

    public static void Compress(ReadOnlySpan<byte> records, PooledBuffer destination)
    {
        using var compressor = new Compressor(Level);
        destination.Advance(compressor.Wrap(records, destination.GetSpan(Compressor.GetCompressBound(records.Length))));
    }

    public static void Decompress(ReadOnlySpan<byte> compressed, PooledBuffer destination)
    {
        using var decompressor = new Decompressor();
        decompressor.SetParameter(ZSTD_dParameter.ZSTD_d_windowLogMax, MaxWindowLog);

        ReadOnlySpan<byte> rest = compressed;
        while (true)
        {
            OperationStatus status = decompressor.UnwrapStream(rest, destination.GetSpan(ChunkSize), out int consumed, out int written);
            rest = rest[consumed..];
            destination.Advance(written);
            RecordsCodec.CheckUncompressedSize(destination.Length);

            // Done is the end of a frame; another may follow.
            if (status == OperationStatus.Done && rest.IsEmpty)
                return;
            if (status == OperationStatus.InvalidData || (consumed == 0 && written == 0))
                throw new CorruptBatchException("the zstd frame is malformed or cut short");
        }
    }
}
