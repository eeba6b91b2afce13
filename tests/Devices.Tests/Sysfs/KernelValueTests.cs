using System.Globalization;
using System.Text;
using EdgeStream.Devices.Sysfs;

namespace EdgeStream.Devices.Tests.Sysfs;

public sealed class KernelValueTests
{
    [Theory]
    [InlineData("42312\n", "42312")]
    [InlineData("-1250\n", "-1250")]
    [InlineData(" 0.125000000 \n", "0.125")]
    [InlineData("1.5e-3", "0.0015")]
    [InlineData("72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=23125\n", "23125")]
    [InlineData("ff ff 4b 46 7f ff 0e 10 57 : crc=57 YES\nff ff 4b 46 7f ff 0e 10 57 t=-62\n", "-62")]
    public void Values_are_read(string text, string expected)
    {
        Assert.True(KernelValue.TryParse(Encoding.UTF8.GetBytes(text), out decimal value, out _));
        Assert.Equal(decimal.Parse(expected, CultureInfo.InvariantCulture), value);
    }

    [Theory]
    [InlineData("", "it is empty")]
    [InlineData("\n", "it is empty")]
    [InlineData("off\n", "'off' is no number")]
    [InlineData("1e400", "'1e400' is no number")]
    [InlineData("NaN", "'NaN' is no number")]
    [InlineData("1 2 3", "'1 2 3' is no number")]
    [InlineData("72 01 4b 46 7f ff 0e 10 57 : crc=58 NO\n72 01 4b 46 7f ff 0e 10 57 t=23125\n", "the sensor's checksum is wrong; is its wiring good?")]
    [InlineData("00 00 00 00 00 00 00 00 00 : crc=00 YES\n00 00 00 00 00 00 00 00 00 t=0\n", "the sensor's checksum is wrong; is its wiring good?")]
    [InlineData("72 01 : crc=57 YES", "the sensor's checksum is wrong; is its wiring good?")]
    [InlineData("72 01 : crc=57 YES\n72 01\n", "'72 01' has no t=")]
    public void What_is_no_value_is_not_read(string text, string expected)
    {
        Assert.False(KernelValue.TryParse(Encoding.UTF8.GetBytes(text), out _, out string problem));
        Assert.Equal(expected, problem);
    }

    [Fact]
    public void Bytes_at_random_are_refused_without_an_exception()
    {
        var random = new Random(1);
        byte[] bytes = new byte[64];
        for (int i = 0; i < 10_000; i++)
        {
            random.NextBytes(bytes);
            _ = KernelValue.TryParse(bytes.AsSpan(0, random.Next(bytes.Length)), out _, out string problem);
            Assert.DoesNotContain('\n', problem);
        }
    }
}
