using System.Buffers;
using EdgeStream.Storage.Records;

namespace EdgeStream.Mirror.Hub;

/// <summary>Puts the pieces of one topic's chunks together again. For one caller at a time.</summary>
internal sealed class ChunkAssembly : IDisposable
{
    private byte[] _buffer = [];
    private int _length;
    private int _room;
    private IDisposable? _charge;

    /// <summary>Whether pieces of a chunk are still to come.</summary>
    public bool HasBegun => _charge is not null;

    /// <summary>The most that the pieces of a chunk may have together, by the first of them.</summary>
    /// <exception cref="CorruptBatchException">No chunk is so large.</exception>
    public static int SizeOf(V1.Chunk first)
    {
        int bytes = first.ChunkBytes == 0 ? ChunkCodec.MaxUncompressedBytes : first.ChunkBytes;
        ChunkCodec.CheckSize(bytes);
        return bytes;
    }

    /// <summary>Begins a chunk of several pieces.</summary>
    /// <param name="bytes">The most that it may have.</param>
    /// <param name="charge">What was taken for that; goes back with the chunk's memory.</param>
    public void Begin(int bytes, IDisposable charge) => (_room, _charge) = (bytes, charge);

    /// <summary>Takes a piece of the chunk that was begun; all of them, the caller's to dispose, where it is the last one.</summary>
    /// <exception cref="CorruptBatchException">They are more than was announced; they are forgotten.</exception>
    public RentedBytes? Add(V1.Chunk piece)
    {
        if (piece.Data.Length > _room - _length)
        {
            int room = _room;
            Reset();
            throw new CorruptBatchException($"a chunk has more than the {room} bytes that it may have");
        }

        Append(piece.Data.Span);
        if (piece.More)
            return null;

        var chunk = new RentedBytes(_buffer, _length, _charge);
        (_buffer, _length, _room, _charge) = ([], 0, 0, null);
        return chunk;
    }

    /// <summary>Forgets the pieces of a chunk that will not be completed.</summary>
    public void Reset()
    {
        if (_buffer.Length > 0)
            ArrayPool<byte>.Shared.Return(_buffer);

        _charge?.Dispose();
        (_buffer, _length, _room, _charge) = ([], 0, 0, null);
    }

    public void Dispose() => Reset();

    private void Append(ReadOnlySpan<byte> data)
    {
        if (_length + data.Length > _buffer.Length)
        {
            byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(Math.Min(2 * _buffer.Length, _room), _length + data.Length));
            _buffer.AsSpan(0, _length).CopyTo(larger);
            if (_buffer.Length > 0)
                ArrayPool<byte>.Shared.Return(_buffer);

            _buffer = larger;
        }

        data.CopyTo(_buffer.AsSpan(_length));
        _length += data.Length;
    }
}
