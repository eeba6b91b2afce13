using EdgeStream.Cluster;
using EdgeStream.Storage.Records;

namespace EdgeStream.Mirror.Bundles;

/// <summary>The file that carries a partition's batches from an edge to its hub where there is no link, on a USB stick for instance.</summary>
/// <remarks>
/// <para>All numbers are big-endian and unsigned, 32 bits. In this order:</para>
/// <list type="number">
/// <item>magic, 8 bytes <c>ESBUNDLE</c>; format version</item>
/// <item>header: length, then a <c>BundleHeader</c> (protobuf): geo-location, topic, incarnation, first and last offset, time</item>
/// <item>chunks: length, then whole record batches as they lie in the log; the first begins at the first offset, each goes on
/// where the one before ends, the last ends with the last offset</item>
/// <item>end marker: a chunk of length 0; then the SHA-256 of everything before it, the marker included</item>
/// <item>certificate: length, then DER: the edge's, which its hub has issued</item>
/// <item>signature: length, then an ECDSA signature (r and s, one behind the other) of that hash by the certificate's key</item>
/// </list>
/// <para>
/// Nothing follows. A reader checks each length against its limit before it makes room, and believes nothing before the end:
/// a header is a claim until the signature has been verified.
/// </para>
/// </remarks>
internal static class BundleFormat
{
    public const uint Version = 1;

    /// <summary>How much is read from the log for a chunk; a batch that is larger is a chunk of its own.</summary>
    public const int ChunkBytes = 1024 * 1024;

    public const int MaxHeaderBytes = 16 * 1024;
    public const int MaxChunkBytes = ChunkBytes + RecordBatchHeader.MaxBatchSize;
    public const int MaxCertificateBytes = 16 * 1024;
    public const int MaxSignatureBytes = 256;

    public static ReadOnlySpan<byte> Magic => "ESBUNDLE"u8;

    public static ClusterException Damaged(string problem) =>
        new(ErrorCode.CorruptBatch, $"the bundle is damaged: {problem}; nothing was changed; export it again, or copy it anew");
}
