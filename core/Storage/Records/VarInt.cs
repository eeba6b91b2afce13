namespace EdgeStream.Storage.Records;

/// <summary>
/// Signed variable-length integers: zigzag, then seven bits a byte with the lowest first, as Protocol Buffers' sint32
/// and sint64 (https://protobuf.dev/programming-guides/encoding/#signed-ints). Kafka's records use them for all lengths.
/// </summary>
internal static class VarInt
{
    /// <summary>The most bytes that an <see cref="int"/> takes.</summary>
    public const int MaxSize32 = 5;

    /// <summary>The most bytes that a <see cref="long"/> takes.</summary>
    public const int MaxSize64 = 10;

    /// <summary>Bytes that <see cref="Write"/> uses for the value; the same for an <see cref="int"/> and a <see cref="long"/>.</summary>
    public static int SizeOf(long value)
    {
        ulong bits = ZigZag(value);
        int size = 1;
        while ((bits >>= 7) != 0)
            size++;
        return size;
    }

    /// <summary>Writes the value and returns the number of bytes it took.</summary>
    public static int Write(Span<byte> destination, long value)
    {
        ulong bits = ZigZag(value);
        int i = 0;
        while (bits > 0x7F)
        {
            destination[i++] = (byte)(bits | 0x80);
            bits >>= 7;
        }

        destination[i++] = (byte)bits;
        return i;
    }

    /// <summary>
    /// Reads one value at <paramref name="position"/> and moves it past the value. False where the bytes end inside the
    /// value or where it does not fit 32 bits; the position is then unchanged.
    /// </summary>
    public static bool TryRead32(ReadOnlySpan<byte> source, ref int position, out int value)
    {
        bool fits = TryReadBits(source, ref position, MaxSize32, lastByteLimit: 0x0F, out ulong bits);
        value = (int)((uint)bits >> 1) ^ -(int)(bits & 1);
        return fits;
    }

    /// <inheritdoc cref="TryRead32"/>
    public static bool TryRead64(ReadOnlySpan<byte> source, ref int position, out long value)
    {
        bool fits = TryReadBits(source, ref position, MaxSize64, lastByteLimit: 0x01, out ulong bits);
        value = (long)(bits >> 1) ^ -(long)(bits & 1);
        return fits;
    }

    private static bool TryReadBits(ReadOnlySpan<byte> source, ref int position, int maxSize, byte lastByteLimit, out ulong bits)
    {
        bits = 0;
        ulong sum = 0;
        for (int i = 0; i < maxSize; i++)
        {
            if ((uint)(position + i) >= (uint)source.Length)
                return false;

            byte b = source[position + i];
            // The last byte that can be has room for what is left of the 32 or 64 bits only, and no continuation bit.
            if (i == maxSize - 1 && b > lastByteLimit)
                return false;

            sum |= (ulong)(b & 0x7F) << (7 * i);
            if (b <= 0x7F)
            {
                bits = sum;
                position += i + 1;
                return true;
            }
        }

        return false;
    }

    private static ulong ZigZag(long value) => (ulong)((value << 1) ^ (value >> 63));
}
