using System.Buffers;
using EdgeStream.Storage.Records;
using ZstdSharp;
using ZstdSharp.Unsafe;

namespace EdgeStream.Mirror;

/// <summary>
/// How a chunk of batches is compressed on the wire: one zstd frame (RFC 8878) over all of it, so that what batches and records
/// have in common is sent once.
/// </summary>
internal static class ChunkCodec
{
    /// <summary>The most that a chunk may have, in bytes, before compression: the largest batch fits, and a few small ones.</summary>
    public const int MaxUncompressedBytes = RecordBatchHeader.MaxBatchSize + (1024 * 1024);

    /// <summary>
    /// The most that an edge may have in chunks of which pieces are still to come, in bytes: a largest one, and small ones of
    /// other topics beside it.
    /// </summary>
    public const int MaxUnfinishedBytes = MaxUncompressedBytes + (1024 * 1024);

    // As far back as a match may lie (256 KiB), which is a whole chunk unless a single batch is larger. It bounds what hard levels
    // need of memory to a few megabytes.
    private const int WindowLog = 18;

    // Below that, a frame's own header eats what it saves.
    private const int MinBytes = 64;

    /// <summary>Compresses a chunk into pooled memory; null where that would not make it smaller by a twentieth.</summary>
    public static RentedBytes? TryCompress(Compressor compressor, ReadOnlySpan<byte> batches)
    {
        if (batches.Length < MinBytes)
            return null;

        byte[] buffer = ArrayPool<byte>.Shared.Rent(Compressor.GetCompressBound(batches.Length));
        int length = compressor.Wrap(batches, buffer);
        if (length < batches.Length - (batches.Length / 20))
            return new RentedBytes(buffer, length);

        ArrayPool<byte>.Shared.Return(buffer);
        return null;
    }

    /// <summary>At zstd's level 1; its owner may set another one for each chunk.</summary>
    public static Compressor CreateCompressor()
    {
        var compressor = new Compressor(1);
        compressor.SetParameter(ZSTD_cParameter.ZSTD_c_windowLog, WindowLog);
        return compressor;
    }

    /// <summary>The inverse of <see cref="TryCompress"/>, into memory of exactly the size that the sender has named.</summary>
    /// <param name="decompressor">The caller's own.</param>
    /// <param name="frame">What was sent.</param>
    /// <param name="uncompressedBytes">What it is said to hold.</param>
    /// <param name="charge">What was taken for the memory, which owns it from now on; the caller's where this fails.</param>
    /// <exception cref="CorruptBatchException">It is not what the sender said that it is; no more memory was used for it.</exception>
    public static RentedBytes Decompress(Decompressor decompressor, ReadOnlySpan<byte> frame, int uncompressedBytes, IDisposable? charge = null)
    {
        CheckSize(uncompressedBytes);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(uncompressedBytes);
        try
        {
            if (decompressor.TryUnwrap(frame, buffer.AsSpan(0, uncompressedBytes), out int written) && written == uncompressedBytes)
                return new RentedBytes(buffer, written, charge);
        }
        catch (ZstdException)
        {
            // As below.
        }

        ArrayPool<byte>.Shared.Return(buffer);
        throw new CorruptBatchException($"a compressed chunk does not hold the {uncompressedBytes} bytes that were announced");
    }

    /// <exception cref="CorruptBatchException">No chunk has so many bytes.</exception>
    public static void CheckSize(int bytes)
    {
        if (bytes is <= 0 or > MaxUncompressedBytes)
            throw new CorruptBatchException($"a chunk of {bytes} bytes was announced; {MaxUncompressedBytes} is the most");
    }
}
