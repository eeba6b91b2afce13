using System.Buffers;

namespace EdgeStream.Mirror;

/// <summary>Bytes in an array from the shared pool; whoever has them gives them back once, when nobody reads them any more.</summary>
internal sealed class RentedBytes(byte[] array, int length) : IDisposable
{
    private byte[]? _array = array;

    public ReadOnlyMemory<byte> Memory => _array.AsMemory(0, length);

    public void Dispose()
    {
        if (_array is { } rented)
        {
            _array = null;
            ArrayPool<byte>.Shared.Return(rented);
        }
    }
}
