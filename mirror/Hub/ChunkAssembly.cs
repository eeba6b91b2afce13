using System.Buffers;
using EdgeStream.Storage.Records;
using ZstdSharp;

namespace EdgeStream.Mirror.Hub;

/// <summary>Puts the pieces of one topic's chunks together again. For one caller at a time.</summary>
internal sealed class ChunkAssembly : IDisposable
{
    private byte[] _buffer = [];
    private int _length;

    /// <summary>
    /// Takes a piece. Null while more are to come; else the chunk's batches, which are the caller's to dispose, and valid until
    /// then and as long as the message is.
    /// </summary>
    /// <exception cref="CorruptBatchException">The chunk is larger than any may be, or is not what it was announced as.</exception>
    public AssembledChunk? Add(V1.Chunk piece, Decompressor decompressor)
    {
        if (_length + piece.Data.Length > ChunkCodec.MaxUncompressedBytes)
        {
            Reset();
            throw new CorruptBatchException($"a chunk has more than {ChunkCodec.MaxUncompressedBytes} bytes");
        }

        if (piece.More)
        {
            Append(piece.Data.Span);
            return null;
        }

        if (_length == 0)
            return Open(piece, decompressor, piece.Data.Memory, pieces: null);

        Append(piece.Data.Span);
        var pieces = new RentedBytes(_buffer, _length);
        (_buffer, _length) = ([], 0);
        return Open(piece, decompressor, pieces.Memory, pieces);
    }

    /// <summary>Forgets the pieces of a chunk that will not be completed.</summary>
    public void Reset()
    {
        if (_buffer.Length > 0)
            ArrayPool<byte>.Shared.Return(_buffer);

        (_buffer, _length) = ([], 0);
    }

    public void Dispose() => Reset();

    private static AssembledChunk Open(V1.Chunk last, Decompressor decompressor, ReadOnlyMemory<byte> data, RentedBytes? pieces)
    {
        if (last.UncompressedBytes == 0)
            return new AssembledChunk(data, pieces);

        using (pieces)
        {
            RentedBytes batches = ChunkCodec.Decompress(decompressor, data.Span, last.UncompressedBytes);
            return new AssembledChunk(batches.Memory, batches);
        }
    }

    private void Append(ReadOnlySpan<byte> data)
    {
        if (_length + data.Length > _buffer.Length)
        {
            byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(2 * _buffer.Length, _length + data.Length));
            _buffer.AsSpan(0, _length).CopyTo(larger);
            if (_buffer.Length > 0)
                ArrayPool<byte>.Shared.Return(_buffer);

            _buffer = larger;
        }

        data.CopyTo(_buffer.AsSpan(_length));
        _length += data.Length;
    }
}

/// <summary>The batches of a chunk.</summary>
/// <param name="Batches">Valid until <paramref name="Memory"/> is disposed.</param>
/// <param name="Memory">What holds them; null where that is the message they came with.</param>
internal readonly record struct AssembledChunk(ReadOnlyMemory<byte> Batches, RentedBytes? Memory);
