using EdgeStream.Storage.Records;

namespace EdgeStream.Storage.Tests.Records;

public class VarIntTests
{
    [Theory]
    [InlineData(0, "00")]
    [InlineData(-1, "01")]
    [InlineData(1, "02")]
    [InlineData(63, "7E")]
    [InlineData(-64, "7F")]
    [InlineData(64, "8001")]
    [InlineData(int.MaxValue, "FEFFFFFF0F")]
    [InlineData(int.MinValue, "FFFFFFFF0F")]
    [InlineData(long.MaxValue, "FEFFFFFFFFFFFFFFFF01")]
    [InlineData(long.MinValue, "FFFFFFFFFFFFFFFFFF01")]
    public void Values_have_their_known_bytes(long value, string hex)
    {
        byte[] buffer = new byte[VarInt.MaxSize64];
        int size = VarInt.Write(buffer, value);
        Assert.Equal(hex, Convert.ToHexString(buffer, 0, size));
        Assert.Equal(size, VarInt.SizeOf(value));

        int position = 0;
        Assert.True(VarInt.TryRead64(buffer.AsSpan(0, size), ref position, out long read));
        Assert.Equal((value, size), (read, position));
        if (value == (int)value)
        {
            position = 0;
            Assert.True(VarInt.TryRead32(buffer.AsSpan(0, size), ref position, out int read32));
            Assert.Equal(value, read32);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("80")]
    [InlineData("FFFFFFFF")]
    [InlineData("FFFFFFFF1F")] // a 33rd bit
    [InlineData("FFFFFFFFFF00")] // a sixth byte
    public void What_is_no_32_bit_number_is_refused_and_the_position_stays(string hex)
    {
        int position = 0;
        Assert.False(VarInt.TryRead32(Convert.FromHexString(hex), ref position, out _));
        Assert.Equal(0, position);
    }

    [Theory]
    [InlineData("FFFFFFFFFFFFFFFFFF")]
    [InlineData("FFFFFFFFFFFFFFFFFF03")] // a 65th bit
    [InlineData("FFFFFFFFFFFFFFFFFFFF00")] // an eleventh byte
    public void What_is_no_64_bit_number_is_refused_and_the_position_stays(string hex)
    {
        int position = 0;
        Assert.False(VarInt.TryRead64(Convert.FromHexString(hex), ref position, out _));
        Assert.Equal(0, position);
    }
}
