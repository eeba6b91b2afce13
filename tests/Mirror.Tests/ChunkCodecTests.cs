using EdgeStream.Mirror.Hub;
using EdgeStream.Storage.Records;
using EdgeStream.Testing;
using Google.Protobuf;
using ZstdSharp;

namespace EdgeStream.Mirror.Tests;

public sealed class ChunkCodecTests : IDisposable
{
    private readonly Compressor _compressor = ChunkCodec.CreateCompressor();
    private readonly Decompressor _decompressor = new();
    private readonly ChunkAssembly _assembly = new();

    public void Dispose()
    {
        _compressor.Dispose();
        _decompressor.Dispose();
        _assembly.Dispose();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(100_000)]
    public void Chunk_comes_out_as_it_went_in_whatever_its_pieces(int pieceBytes)
    {
        byte[] batches = Batches.Of([.. Enumerable.Range(0, 500).Select(i => $"{{\"sensor\":\"t-{i % 7}\",\"value\":{i * 0.25}}}")]);
        using RentedBytes frame = ChunkCodec.TryCompress(_compressor, batches)!;
        Assert.True(frame.Memory.Length < batches.Length / 4);
        for (int times = 0; times < 2; times++)
        {
            AssembledChunk? chunk = null;
            for (int at = 0; at < frame.Memory.Length; at += pieceBytes)
            {
                Assert.Null(chunk);
                ReadOnlySpan<byte> piece = frame.Memory.Span.Slice(at, Math.Min(pieceBytes, frame.Memory.Length - at));
                chunk = _assembly.Add(Piece(piece, at + pieceBytes < frame.Memory.Length, batches.Length), _decompressor);
            }

            Assert.Equal(batches, chunk!.Value.Batches.ToArray());
            chunk.Value.Memory?.Dispose();
        }
    }

    [Fact]
    public void What_does_not_become_smaller_is_left_as_it_is()
    {
        byte[] noise = new byte[10_000];
        new Random(1).NextBytes(noise);
        Assert.Null(ChunkCodec.TryCompress(_compressor, noise));
    }

    [Theory]
    [InlineData(100)]
    [InlineData(2_000_000_000)]
    [InlineData(-1)]
    public void Frame_that_inflates_to_more_than_was_announced_is_refused_within_the_memory_announced(int announced)
    {
        byte[] bomb = Bomb();
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Throws<CorruptBatchException>(() => _assembly.Add(Piece(bomb, more: false, announced), _decompressor));
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 1_000_000);
    }

    [Fact]
    public void Frame_cut_short_or_damaged_is_refused()
    {
        byte[] batches = Batches.Of([.. Enumerable.Repeat("reading", 100)]);
        using RentedBytes frame = ChunkCodec.TryCompress(_compressor, batches)!;
        Assert.Throws<CorruptBatchException>(() => _assembly.Add(Piece(frame.Memory.Span[..^3], false, batches.Length), _decompressor));
        byte[] damaged = frame.Memory.ToArray();
        damaged[0] ^= 0xFF;
        Assert.Throws<CorruptBatchException>(() => _assembly.Add(Piece(damaged, false, batches.Length), _decompressor));
    }

    [Fact]
    public void Pieces_without_end_are_refused()
    {
        byte[] piece = new byte[1024 * 1024];
        int taken = 0;
        Assert.Throws<CorruptBatchException>(() =>
        {
            for (; taken < 100; taken++)
                _assembly.Add(Piece(piece, more: true, 0), _decompressor);
        });
        Assert.True(taken * piece.Length <= ChunkCodec.MaxUncompressedBytes);
    }

    /// <summary>256 MiB of zeros, told by its own header to be one.</summary>
    private static byte[] Bomb()
    {
        using var compressor = new Compressor(1);
        return compressor.Wrap(new byte[256 * 1024 * 1024]).ToArray();
    }

    private static V1.Chunk Piece(ReadOnlySpan<byte> data, bool more, int uncompressed) =>
        new() { Topic = "t", Data = ByteString.CopyFrom(data), More = more, UncompressedBytes = more ? 0 : uncompressed };
}
