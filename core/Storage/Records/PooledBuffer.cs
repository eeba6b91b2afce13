using System.Buffers;

namespace EdgeStream.Storage.Records;

/// <summary>
/// A growing run of bytes in an array from the shared pool, so that batch after batch costs no garbage. Spans and memory
/// handed out are valid until the next growth or <see cref="Dispose"/>.
/// </summary>
internal sealed class PooledBuffer : IDisposable
{
    private const int MinCapacity = 1024;

    private byte[] _array = [];

    public int Length { get; private set; }

    public Span<byte> WrittenSpan => _array.AsSpan(0, Length);

    public ReadOnlyMemory<byte> WrittenMemory => _array.AsMemory(0, Length);

    /// <summary>Free bytes after those written, at least <paramref name="size"/>; write there, then <see cref="Advance"/>.</summary>
    public Span<byte> GetSpan(int size)
    {
        if (_array.Length - Length < size)
            Grow(size);
        return _array.AsSpan(Length);
    }

    public void Advance(int count) => Length = checked(Length + count);

    /// <summary>Forgets the bytes after <paramref name="length"/>.</summary>
    public void Truncate(int length) => Length = Math.Min(Length, length);

    public void Write(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(GetSpan(bytes.Length));
        Advance(bytes.Length);
    }

    public void Dispose()
    {
        if (_array.Length > 0)
            ArrayPool<byte>.Shared.Return(_array);
        _array = [];
        Length = 0;
    }

    private void Grow(int size)
    {
        int needed = checked(Length + size);
        byte[] larger = ArrayPool<byte>.Shared.Rent((int)Math.Max(MinCapacity, Math.Min(Array.MaxLength, Math.Max(needed, 2L * Length))));
        WrittenSpan.CopyTo(larger);
        if (_array.Length > 0)
            ArrayPool<byte>.Shared.Return(_array);
        _array = larger;
    }
}
