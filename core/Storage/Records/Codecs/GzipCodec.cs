using System.IO.Compression;

namespace EdgeStream.Storage.Records.Codecs;

/// <summary>RFC 1952, by the platform's own implementation, at its fastest level.</summary>
internal static class GzipCodec
{
    private const int ChunkSize = 4096;

    public static void Compress(ReadOnlySpan<byte> records, PooledBuffer destination)
    {
        using var sink = new PooledBufferStream(destination);
        using var gzip = new GZipStream(sink, CompressionLevel.Fastest);
        gzip.Write(records);
    }

    public static unsafe void Decompress(ReadOnlySpan<byte> compressed, PooledBuffer destination)
    {
        fixed (byte* pointer = compressed)
        {
            using var source = new UnmanagedMemoryStream(pointer, compressed.Length);
            using var gzip = new GZipStream(source, CompressionMode.Decompress);
            int read;
            while ((read = gzip.Read(destination.GetSpan(ChunkSize))) > 0)
            {
                destination.Advance(read);
                RecordsCodec.CheckUncompressedSize(destination.Length);
            }
        }
    }
}
