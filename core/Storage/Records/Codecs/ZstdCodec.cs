using ZstdSharp;

namespace EdgeStream.Storage.Records.Codecs;

/// <summary>
/// Zstandard (RFC 8878), written at level 1. Reading goes straight into the destination in one call, never by a
/// decompression stream: that would reserve the window that the frame's header asks for, whatever the frame holds.
/// </summary>
internal static class ZstdCodec
{
    private const int Level = 1;

    // What telemetry reaches; more only costs another round.
    private const int LikelyRatio = 8;

    // What one block of RFC 8878 holds at most.
    private const int LeastRoom = 128 * 1024;

    public static void Compress(ReadOnlySpan<byte> records, PooledBuffer destination)
    {
        using var compressor = new Compressor(Level);
        destination.Advance(compressor.Wrap(records, destination.GetSpan(Compressor.GetCompressBound(records.Length))));
    }

    public static void Decompress(ReadOnlySpan<byte> compressed, PooledBuffer destination)
    {
        using var decompressor = new Decompressor();

        // The bound comes from the frames' headers and the number of their blocks: a claim. It may make the room smaller
        // but not larger; the decoder fills all the room before it asks for more, so that growth is earned by real data.
        ulong bound = Decompressor.GetDecompressedSize(compressed);
        long room = (long)Math.Min(bound, (ulong)Math.Max(LeastRoom, (long)compressed.Length * LikelyRatio));
        while (true)
        {
            int capacity = (int)Math.Min(room, RecordBatchReader.MaxUncompressedSize);
            if (decompressor.TryUnwrap(compressed, destination.GetSpan(capacity)[..capacity], out int written))
            {
                destination.Advance(written);
                return;
            }

            room = capacity * 4L;
            RecordsCodec.CheckUncompressedSize(capacity + 1);
        }
    }
}
