namespace EdgeStream.Storage.Records;

/// <summary>How the records of a batch are compressed. The values are the low three bits of a batch's attributes.</summary>
public enum CompressionCodec : byte
{
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}
