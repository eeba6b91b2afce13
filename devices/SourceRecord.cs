namespace EdgeStream.Devices;

/// <summary>What a source read, before it has an offset.</summary>
/// <param name="Topic">The EdgeStream topic that it goes to.</param>
/// <param name="Key">The record's key, or null.</param>
/// <param name="Value">The payload, as it came in.</param>
/// <param name="Timestamp">When it happened, by the best clock the source has.</param>
/// <param name="Headers">Headers in their order, empty where there are none.</param>
public sealed record SourceRecord(
    string Topic,
    ReadOnlyMemory<byte>? Key,
    ReadOnlyMemory<byte> Value,
    DateTimeOffset Timestamp,
    IReadOnlyList<KeyValuePair<string, ReadOnlyMemory<byte>>> Headers);
