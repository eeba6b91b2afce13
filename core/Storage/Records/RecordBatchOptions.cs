namespace EdgeStream.Storage.Records;

/// <summary>
/// What a batch's header says beyond its records. The defaults are those of a plain producer: neither idempotent nor
/// transactional, and no leader epoch, which is what Kafka's own clients write before a broker knows better.
/// </summary>
public sealed record RecordBatchOptions
{
    public CompressionCodec Codec { get; init; } = CompressionCodec.None;

    /// <summary>Attribute bits other than the codec's three: timestamp type (8), transactional (16), control (32).</summary>
    public short AttributeFlags { get; init; }

    public int PartitionLeaderEpoch { get; init; } = -1;

    public long ProducerId { get; init; } = -1;

    public short ProducerEpoch { get; init; } = -1;

    public int BaseSequence { get; init; } = -1;

    /// <summary>The options with which the records of a batch that was read give the same header again.</summary>
    public static RecordBatchOptions From(in RecordBatchHeader header) => new()
    {
        Codec = header.Codec,
        AttributeFlags = (short)(header.Attributes & ~RecordBatchHeader.CodecMask),
        PartitionLeaderEpoch = header.PartitionLeaderEpoch,
        ProducerId = header.ProducerId,
        ProducerEpoch = header.ProducerEpoch,
        BaseSequence = header.BaseSequence,
    };
}
