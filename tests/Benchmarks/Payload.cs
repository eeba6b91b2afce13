using EdgeStream.Storage.Records;

namespace EdgeStream.Benchmarks;

/// <summary>Records that do not compress, the same ones in each run.</summary>
internal static class Payload
{
    public static ReadOnlyMemory<byte> OfSize(int size)
    {
        byte[] value = new byte[size];
        new Random(17).NextBytes(value);
        return value;
    }

    public static Record Record(ReadOnlyMemory<byte> value, long timestamp) => new(timestamp, key: null, value);
}
