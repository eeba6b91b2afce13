using System.Buffers;
using EdgeStream.Cluster;
using EdgeStream.Storage;
using EdgeStream.Storage.Records;

namespace EdgeStream.Mirror.Hub;

/// <summary>Puts the pieces of one topic's chunks together again. For one caller at a time.</summary>
internal sealed class ChunkAssembly : IDisposable
{
    // By how much the room grows of a chunk that does not say its size: about all of one, unless a batch is larger.
    private const int StepBytes = 256 * 1024;

    private byte[] _buffer = [];
    private int _length;
    private int _limit;
    private HubFlow.ChunkRoom? _room;

    /// <summary>Whether pieces of a chunk are still to come.</summary>
    public bool HasBegun => _room is not null;

    /// <summary>
    /// Begins a chunk of several pieces: takes room for all of them, or, where an old edge does not say how large they become, for
    /// what they usually are.
    /// </summary>
    /// <exception cref="CorruptBatchException">No chunk is so large.</exception>
    /// <exception cref="ClusterException">There is no room now.</exception>
    public async ValueTask BeginAsync(V1.Chunk first, HubFlow.Share share, CancellationToken cancellationToken)
    {
        int limit = first.ChunkBytes == 0 ? ChunkCodec.MaxUncompressedBytes : first.ChunkBytes;
        ChunkCodec.CheckSize(limit);
        int bytes = first.ChunkBytes == 0 ? StepBytes : limit;
        _room = await share.TryBeginChunkAsync(bytes, cancellationToken).ConfigureAwait(false) ?? throw NoRoomFor(bytes);
        _limit = limit;
    }

    /// <summary>Takes a piece of the chunk that was begun; all of them, the caller's to dispose, where it is the last one.</summary>
    /// <exception cref="CorruptBatchException">They are more than was announced; they are forgotten.</exception>
    /// <exception cref="ClusterException">There is no room now for so many; they are forgotten.</exception>
    public RentedBytes? Add(V1.Chunk piece)
    {
        try
        {
            MakeRoom(_length + piece.Data.Length);
        }
        catch (EdgeStreamException)
        {
            Reset();
            throw;
        }

        Append(piece.Data.Span);
        if (piece.More)
            return null;

        var chunk = new RentedBytes(_buffer, _length, _room);
        (_buffer, _length, _room) = ([], 0, null);
        return chunk;
    }

    /// <summary>Forgets the pieces of a chunk that will not be completed.</summary>
    public void Reset()
    {
        if (_buffer.Length > 0)
            ArrayPool<byte>.Shared.Return(_buffer);

        _room?.Dispose();
        (_buffer, _length, _room) = ([], 0, null);
    }

    public void Dispose() => Reset();

    private void MakeRoom(int bytes)
    {
        if (bytes > _limit)
            throw new CorruptBatchException($"a chunk has more than the {_limit} bytes that it may have");

        int needed = Math.Min(_limit, (bytes + StepBytes - 1) / StepBytes * StepBytes);
        if (bytes > _room!.Bytes && !_room.TryGrowTo(needed))
            throw NoRoomFor(needed);
    }

    private static ClusterException NoRoomFor(int bytes) => new(
        ErrorCode.Unavailable, $"the hub has no memory free now for a chunk of {bytes} bytes beside those that are under way; nothing was changed");

    private void Append(ReadOnlySpan<byte> data)
    {
        if (_length + data.Length > _buffer.Length)
        {
            byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(Math.Min(2 * _buffer.Length, _room!.Bytes), _length + data.Length));
            _buffer.AsSpan(0, _length).CopyTo(larger);
            if (_buffer.Length > 0)
                ArrayPool<byte>.Shared.Return(_buffer);

            _buffer = larger;
        }

        data.CopyTo(_buffer.AsSpan(_length));
        _length += data.Length;
    }
}
