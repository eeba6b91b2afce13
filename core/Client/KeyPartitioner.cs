using System.Buffers.Binary;

namespace EdgeStream.Client;

/// <summary>Which partition the records of a key belong to: the same that Kafka's producers choose, so that all clients agree. Pure.</summary>
internal static class KeyPartitioner
{
    /// <summary>An index below <paramref name="partitions"/>.</summary>
    public static int IndexOf(ReadOnlySpan<byte> key, int partitions) => (int)(Murmur2(key) & int.MaxValue) % partitions;

    /// <summary>MurmurHash2 of 32 bits, with the seed that Kafka has for it.</summary>
    internal static uint Murmur2(ReadOnlySpan<byte> data)
    {
        const uint Seed = 0x9747b28c, Multiplier = 0x5bd1e995;
        uint hash = Seed ^ (uint)data.Length;
        for (; data.Length >= sizeof(uint); data = data[sizeof(uint)..])
        {
            uint word = BinaryPrimitives.ReadUInt32LittleEndian(data) * Multiplier;
            hash = (hash * Multiplier) ^ ((word ^ (word >> 24)) * Multiplier);
        }

        if (data.Length > 0)
        {
            for (int i = 0; i < data.Length; i++)
                hash ^= (uint)data[i] << (8 * i);

            hash *= Multiplier;
        }

        hash = (hash ^ (hash >> 13)) * Multiplier;
        return hash ^ (hash >> 15);
    }
}
