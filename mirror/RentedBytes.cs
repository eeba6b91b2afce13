using System.Buffers;

namespace EdgeStream.Mirror;

/// <summary>Bytes in an array from the shared pool; whoever has them gives them back once, when nobody reads them any more.</summary>
/// <param name="array">The array, from the pool.</param>
/// <param name="length">How much of it counts.</param>
/// <param name="charge">What was taken of a budget for it, and goes back with it; null where nothing was.</param>
internal sealed class RentedBytes(byte[] array, int length, IDisposable? charge = null) : IDisposable
{
    private byte[]? _array = array;

    public ReadOnlyMemory<byte> Memory => _array.AsMemory(0, length);

    /// <summary>Another charge stands for the bytes from now on; the one that did goes back.</summary>
    public void Recharge(IDisposable other)
    {
        charge?.Dispose();
        charge = other;
    }

    public void Dispose()
    {
        if (_array is { } rented)
        {
            _array = null;
            ArrayPool<byte>.Shared.Return(rented);
            charge?.Dispose();
        }
    }
}
