using System.Buffers;

namespace EdgeStream.Storage.Log;

/// <summary>
/// Whole batches as they lie in the log, their checksums verified. The memory is pooled: it is valid until the slice is
/// disposed, which whoever got the slice does once.
/// </summary>
public sealed class LogSlice : IDisposable
{
    private byte[]? _buffer;

    /// <param name="buffer">From the shared pool, and the slice's from here on; null for an empty one.</param>
    /// <param name="start">Where in it the batches begin.</param>
    /// <param name="length">How many bytes they have.</param>
    /// <param name="baseOffset">See <see cref="BaseOffset"/>.</param>
    /// <param name="nextOffset">See <see cref="NextOffset"/>.</param>
    public LogSlice(byte[]? buffer, int start, int length, long baseOffset, long nextOffset)
    {
        _buffer = buffer;
        Batches = buffer is null ? default : buffer.AsMemory(start, length);
        BaseOffset = baseOffset;
        NextOffset = nextOffset;
    }

    public ReadOnlyMemory<byte> Batches { get; private set; }

    /// <summary>Offset of the first record in <see cref="Batches"/>; may be below the offset that was asked for.</summary>
    public long BaseOffset { get; }

    /// <summary>The offset that follows the last record in <see cref="Batches"/>.</summary>
    public long NextOffset { get; }

    public bool IsEmpty => Batches.IsEmpty;

    public void Dispose()
    {
        if (_buffer is { } buffer)
        {
            _buffer = null;
            Batches = default;
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
