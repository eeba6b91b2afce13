namespace EdgeStream.Storage.Records.Codecs;

/// <summary>
/// Compresses and decompresses the records section of a batch, which is everything after the header. What is written is
/// what librdkafka and the Java client read; what is read is what either of them writes.
/// </summary>
internal static class RecordsCodec
{
    /// <summary>Appends the compressed records to <paramref name="destination"/>.</summary>
    public static void Compress(CompressionCodec codec, ReadOnlySpan<byte> records, PooledBuffer destination)
    {
        switch (codec)
        {
            case CompressionCodec.None:
                destination.Write(records);
                break;
            case CompressionCodec.Gzip:
                GzipCodec.Compress(records, destination);
                break;
            case CompressionCodec.Snappy:
                SnappyCodec.Compress(records, destination);
                break;
            case CompressionCodec.Lz4:
                Lz4Codec.Compress(records, destination);
                break;
            case CompressionCodec.Zstd:
                ZstdCodec.Compress(records, destination);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(codec), codec, "Unknown codec.");
        }
    }

    /// <summary>
    /// Appends the records to <paramref name="destination"/>, which grows with what was really decompressed and not with
    /// what the input claims, and never beyond <see cref="RecordBatchReader.MaxUncompressedSize"/>.
    /// </summary>
    /// <exception cref="CorruptBatchException">The bytes are not what the codec writes, or too many.</exception>
    public static void Decompress(CompressionCodec codec, ReadOnlySpan<byte> compressed, PooledBuffer destination)
    {
        try
        {
            switch (codec)
            {
                case CompressionCodec.None:
                    destination.Write(compressed);
                    break;
                case CompressionCodec.Gzip:
                    GzipCodec.Decompress(compressed, destination);
                    break;
                case CompressionCodec.Snappy:
                    SnappyCodec.Decompress(compressed, destination);
                    break;
                case CompressionCodec.Lz4:
                    Lz4Codec.Decompress(compressed, destination);
                    break;
                case CompressionCodec.Zstd:
                    ZstdCodec.Decompress(compressed, destination);
                    break;
                default:
                    throw new CorruptBatchException($"the codec {(int)codec} is unknown");
            }
        }
        catch (Exception e) when (e is not (CorruptBatchException or OutOfMemoryException))
        {
            // The decoders are other people's, and each reports bad input with exceptions of its own choice.
            throw new CorruptBatchException($"the records cannot be decompressed as {codec}: {e.Message}", e);
        }
    }

    /// <summary>Refuses a decompressed size that is over the limit.</summary>
    public static void CheckUncompressedSize(long size)
    {
        if (size > RecordBatchReader.MaxUncompressedSize)
            throw new CorruptBatchException($"the records decompress to more than {RecordBatchReader.MaxUncompressedSize} bytes");
    }
}
