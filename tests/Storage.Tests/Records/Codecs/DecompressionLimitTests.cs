using EdgeStream.Storage.Records;
using static EdgeStream.Storage.Tests.Records.SampleBatches;

namespace EdgeStream.Storage.Tests.Records.Codecs;

/// <summary>Small batches that ask for much memory get none of it.</summary>
public class DecompressionLimitTests
{
    [Theory]
    [InlineData(CompressionCodec.Gzip)]
    [InlineData(CompressionCodec.Snappy)]
    [InlineData(CompressionCodec.Lz4)]
    [InlineData(CompressionCodec.Zstd)]
    public void More_than_the_limit_is_corruption(CompressionCodec codec)
    {
        byte[] batch = Forge(Header(codec), new byte[RecordBatchReader.MaxUncompressedSize + 1]);
        var e = Assert.Throws<CorruptBatchException>(() => RecordBatchReader.Open(batch));
        Assert.Contains("decompress to more than", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(CompressionCodec.Gzip)]
    [InlineData(CompressionCodec.Snappy)]
    [InlineData(CompressionCodec.Lz4)]
    [InlineData(CompressionCodec.Zstd)]
    public void The_limit_itself_can_be_reached(CompressionCodec codec)
    {
        byte[] batch = Forge(Header(codec), new byte[RecordBatchReader.MaxUncompressedSize]);
        using var reader = RecordBatchReader.Open(batch);
        Assert.Throws<CorruptBatchException>(() => reader.TryRead(out _));
    }

    [Theory]
    [InlineData(CompressionCodec.Snappy, "80808008 00")] // 16 MiB in one byte
    [InlineData(CompressionCodec.Snappy, "FFFFFFFF0F 00")] // 4 GiB in one byte
    [InlineData(CompressionCodec.Lz4, "04224D18 607000 01000000 F0 00000000")] // a block of up to 4 MiB
    [InlineData(CompressionCodec.Lz4, "04224D18 607000 FFFFFF7F")] // a block of 2 GiB
    [InlineData(CompressionCodec.Zstd, "28B52FFD A0 FFFFFF00 010000")] // a frame that holds 16 MiB, says its header
    [InlineData(CompressionCodec.Zstd, "28B52FFD E0 FFFFFFFFFFFFFF7F 010000")]
    [InlineData(CompressionCodec.Zstd, "28B52FFD 00 F8 010000")] // a window of terabytes
    public void Claims_get_no_memory(CompressionCodec codec, string hex)
    {
        byte[] batch = ForgeCompressed(Header(codec), Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal)));
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Throws<CorruptBatchException>(() => Decode(batch));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 256 * 1024);
    }

    [Fact]
    public void Headers_that_compress_to_nothing_get_no_memory()
    {
        // One record of 8 MiB: no key, no value, 4 Mi headers of two zero bytes each.
        const int Headers = 4 * 1024 * 1024;
        byte[] body = new byte[5 + VarInt.SizeOf(Headers) + (2 * Headers)];
        body[3] = body[4] = 1;
        VarInt.Write(body.AsSpan(5), Headers);
        byte[] length = new byte[VarInt.SizeOf(body.Length)];
        VarInt.Write(length, body.Length);
        using var reader = RecordBatchReader.Open(Forge(Header(CompressionCodec.Zstd), [.. length, .. body]));

        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Throws<CorruptBatchException>(() => reader.TryRead(out _));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 64 * 1024);
    }
}
