using System.Text;
using EdgeStream.Storage.Records;
using EdgeStream.Storage.Records.Codecs;

namespace EdgeStream.Storage.Tests.Records;

/// <summary>Batches for tests, and a way to make false ones whose checksum is right.</summary>
internal static class SampleBatches
{
    public static readonly CompressionCodec[] AllCodecs = Enum.GetValues<CompressionCodec>();

    public static TheoryData<CompressionCodec> EachCodec => [.. AllCodecs];

    /// <summary>Records that every codec makes smaller, so that the codec is really used.</summary>
    public static Record[] Telemetry(int count) =>
        [.. Enumerable.Range(0, count).Select(i => new Record(
            Offset: i,
            Timestamp: 1_760_000_000_000 + (i * 250),
            Key: Memory(i % 3 == 0 ? null : Bytes($"sensor-{i % 5}")),
            Value: Memory(i % 7 == 6 ? null : Bytes($"{{\"temperature\":{20 + (i % 4)}.5,\"humidity\":{40 + (i % 9)}.25,\"unit\":\"C\"}}")),
            Headers: i % 4 == 0 ? [new("site", Bytes("north")), new("empty", Bytes("")), new("none", null)] : []))];

    public static byte[] Encode(IEnumerable<Record> records, CompressionCodec codec = CompressionCodec.None, long baseOffset = 0) =>
        Encode(records, new RecordBatchOptions { Codec = codec }, baseOffset);

    public static byte[] Encode(IEnumerable<Record> records, RecordBatchOptions options, long baseOffset)
    {
        using var writer = new RecordBatchWriter(options);
        foreach (Record record in records)
            writer.Append(record);
        return writer.Build(baseOffset).ToArray();
    }

    public static Record[] Decode(ReadOnlyMemory<byte> batch)
    {
        using var reader = RecordBatchReader.Open(batch);
        var records = new List<Record>();
        while (reader.TryRead(out Record record))
            records.Add(record with { Key = Copy(record.Key), Value = Copy(record.Value), Headers = [.. record.Headers.Select(Copy)] });
        return [.. records];
    }

    /// <summary>The records section of a batch, decompressed.</summary>
    public static byte[] Section(ReadOnlySpan<byte> batch)
    {
        Assert.True(RecordBatchHeader.TryRead(batch, out RecordBatchHeader header, out _));
        using var records = new PooledBuffer();
        RecordsCodec.Decompress(header.Codec, batch[RecordBatchHeader.Size..], records);
        return records.WrittenSpan.ToArray();
    }

    /// <summary>A batch of this header with any bytes for records, compressed; length and checksum are right.</summary>
    public static byte[] Forge(RecordBatchHeader header, ReadOnlySpan<byte> section)
    {
        using var compressed = new PooledBuffer();
        RecordsCodec.Compress(header.Codec, section, compressed);
        return ForgeCompressed(header, compressed.WrittenSpan);
    }

    /// <summary>A batch of this header with any bytes in place of the compressed records; length and checksum are right.</summary>
    public static byte[] ForgeCompressed(RecordBatchHeader header, ReadOnlySpan<byte> compressed)
    {
        byte[] batch = new byte[RecordBatchHeader.Size + compressed.Length];
        (header with { BatchLength = batch.Length - RecordBatchHeader.LengthPrefixSize }).Write(batch);
        compressed.CopyTo(batch.AsSpan(RecordBatchHeader.Size));
        RecordBatchHeader.SealChecksum(batch);
        return batch;
    }

    /// <summary>A header as it would stand before this many records.</summary>
    public static RecordBatchHeader Header(CompressionCodec codec, int recordCount = 1) =>
        new(0, 0, -1, 0, (short)codec, recordCount - 1, 1000, 1000, -1, -1, -1, recordCount);

    public static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    /// <summary>Null for null. The implicit conversion would make a null array an empty memory.</summary>
    public static ReadOnlyMemory<byte>? Memory(byte[]? bytes) =>
        bytes is null ? (ReadOnlyMemory<byte>?)null : new ReadOnlyMemory<byte>(bytes);

    private static RecordHeader Copy(RecordHeader header) => header with { Value = Copy(header.Value) };

    private static ReadOnlyMemory<byte>? Copy(ReadOnlyMemory<byte>? bytes) =>
        Memory(bytes?.ToArray());
}
