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
    private readonly HubFlow _flow = new();
    private readonly HubFlow.Share _share;

    public ChunkCodecTests() => _share = new HubFlow.Share(_flow);

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
            RentedBytes? chunk = null;
            for (int at = 0; at < frame.Memory.Length; at += pieceBytes)
            {
                Assert.Null(chunk);
                ReadOnlySpan<byte> piece = frame.Memory.Span.Slice(at, Math.Min(pieceBytes, frame.Memory.Length - at));
                chunk = Add(Piece(piece, at + pieceBytes < frame.Memory.Length, batches.Length));
            }

            Assert.Equal(batches, chunk!.Memory.ToArray());
            chunk.Dispose();
            Assert.Equal(0, _flow.UnfinishedBytes);
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
        Assert.Throws<CorruptBatchException>(() => Add(Piece(bomb, more: false, announced)));
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 1_000_000);
    }

    [Fact]
    public void Frame_cut_short_or_damaged_is_refused()
    {
        byte[] batches = Batches.Of([.. Enumerable.Repeat("reading", 100)]);
        using RentedBytes frame = ChunkCodec.TryCompress(_compressor, batches)!;
        Assert.Throws<CorruptBatchException>(() => Add(Piece(frame.Memory.Span[..^3], false, batches.Length)));
        byte[] damaged = frame.Memory.ToArray();
        damaged[0] ^= 0xFF;
        Assert.Throws<CorruptBatchException>(() => Add(Piece(damaged, false, batches.Length)));
    }

    [Fact]
    public void Pieces_without_end_are_refused()
    {
        byte[] piece = new byte[1024 * 1024];
        int taken = 0;
        Assert.Throws<CorruptBatchException>(() =>
        {
            for (; taken < 100; taken++)
                Add(Piece(piece, more: true, 0));
        });
        Assert.True(taken * piece.Length <= ChunkCodec.MaxUncompressedBytes);
        Assert.Equal(0, _flow.UnfinishedBytes);
    }

    [Fact]
    public void Pieces_beyond_what_the_first_one_has_announced_are_refused()
    {
        V1.Chunk first = Piece(new byte[100], more: true, 0);
        first.ChunkBytes = 150;
        Assert.Null(Add(first));
        Assert.Throws<CorruptBatchException>(() => Add(Piece(new byte[51], more: false, 0)));
        Assert.False(_assembly.HasBegun);
        first.ChunkBytes = ChunkCodec.MaxUncompressedBytes + 1;
        Assert.Throws<CorruptBatchException>(() => Add(first));
    }

    private RentedBytes? Add(V1.Chunk piece)
    {
        if (piece.More && !_assembly.HasBegun)
            _assembly.BeginAsync(piece, _share, CancellationToken.None).AsTask().GetAwaiter().GetResult();

        using RentedBytes? pieces = _assembly.HasBegun ? _assembly.Add(piece) : null;
        return piece.More ? null : ChunkCodec.Decompress(_decompressor, (pieces?.Memory ?? piece.Data.Memory).Span, piece.UncompressedBytes);
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
