using System.Diagnostics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;
using EdgeStream.Storage.Records;

namespace EdgeStream.Storage.Tests.Records;

public sealed class Crc32CTests
{
    private static readonly uint[] Table = CreateTable();

    [Fact]
    public void Published_examples_come_out()
    {
        // RFC 3720 section B.4, and the check value of the CRC catalogue.
        Assert.Equal(0x8A9136AAu, Crc32C.Compute(new byte[32]));
        Assert.Equal(0x62A8AB43u, Crc32C.Compute(Enumerable.Repeat((byte)0xFF, 32).ToArray()));
        Assert.Equal(0x46DD794Eu, Crc32C.Compute(Enumerable.Range(0, 32).Select(i => (byte)i).ToArray()));
        Assert.Equal(0xE3069283u, Crc32C.Compute("123456789"u8));
        Assert.Equal(0u, Crc32C.Compute([]));
    }

    [Fact]
    public void Every_length_at_every_alignment_is_as_bit_by_bit()
    {
        byte[] bytes = new byte[8 + (7 * Crc32C.LaneSize)];
        new Random(29).NextBytes(bytes);
        int[] lengths = [.. Enumerable.Range(0, 80), .. Enumerable.Range(1, 6).SelectMany(lanes => Enumerable.Range((lanes * Crc32C.LaneSize) - 17, 34))];
        foreach (int length in lengths)
        {
            for (int alignment = 0; alignment < 8; alignment++)
            {
                ReadOnlySpan<byte> data = bytes.AsSpan(alignment, length);
                Assert.True(Reference(data) == Crc32C.Compute(data), $"{length} bytes at {alignment}");
            }
        }
    }

    /// <summary>The instruction is some twenty times as fast as a table of 256 entries; without it no code comes near that.</summary>
    [Fact]
    public void Processor_with_an_instruction_for_it_uses_it()
    {
        Assert.SkipUnless(Sse42.X64.IsSupported || Crc32.Arm64.IsSupported, "this processor has no instruction for CRC-32C");
        byte[] data = new byte[64 * 1024];
        new Random(31).NextBytes(data);

        // The best of as many tries as it takes until the compiler has done its best.
        TimeSpan own = TimeSpan.FromHours(1), table = own;
        uint sum = 0;
        long start = Stopwatch.GetTimestamp();
        while (own * 6 > table && Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(20))
        {
            own = Min(own, Time(() => sum ^= Crc32C.Compute(data)));
            table = Min(table, Time(() => sum ^= Reference(data)));
        }

        Assert.Equal(0u, sum);
        Assert.True(own * 6 <= table, $"64 KiB take {own.TotalMicroseconds:0.0} µs, by the table {table.TotalMicroseconds:0.0} µs");
    }

    private static TimeSpan Time(Action action)
    {
        long start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start);
    }

    private static TimeSpan Min(TimeSpan a, TimeSpan b) => a < b ? a : b;

    private static uint Reference(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        foreach (byte b in data)
            crc = (crc >> 8) ^ Table[(crc ^ b) & 0xFF];

        return ~crc;
    }

    private static uint[] CreateTable()
    {
        const uint Reflected = 0x82F63B78;
        uint[] table = new uint[256];
        for (uint i = 0; i < table.Length; i++)
        {
            uint crc = i;
            for (int bit = 0; bit < 8; bit++)
                crc = (crc & 1) == 0 ? crc >> 1 : (crc >> 1) ^ Reflected;

            table[i] = crc;
        }

        return table;
    }
}
