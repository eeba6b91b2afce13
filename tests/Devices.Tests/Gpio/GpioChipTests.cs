using EdgeStream.Devices.Gpio;

namespace EdgeStream.Devices.Tests.Gpio;

/// <summary>What is found of chips and lines without taking any.</summary>
public sealed class GpioChipTests
{
    [Fact]
    public void Chip_that_is_not_there_is_one_line() =>
        Assert.Equal("there is no /dev/gpiochip99; 'gpiodetect' lists the chips, and chip = \"simulated\" needs none", GpioChip.FindProblem("gpiochip99", 3));

    [Theory]
    [InlineData("libgpiod.so.3", true)]
    [InlineData("libgpiod.so.2", true)]
    [InlineData("libgpiod.so.1", false)]
    public void Library_of_either_debian_is_enough(string installed, bool isGood)
    {
        string? problem = GpioChip.FindLibraryProblem(name => name == installed);
        Assert.Equal(isGood, problem is null);
        Assert.True(isGood || problem!.Contains("apt install libgpiod3", StringComparison.Ordinal));
    }

    [Fact]
    public void Line_of_a_chip_of_this_machine_is_looked_at()
    {
        Assert.SkipUnless(File.Exists("/dev/gpiochip0"), "this machine has no GPIO chip");
        Assert.Contains("and no 1023; 'gpioinfo' lists them", GpioChip.FindProblem("gpiochip0", 1023), StringComparison.Ordinal);
    }
}
