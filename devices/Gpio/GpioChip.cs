using System.Device.Gpio;
using System.Device.Gpio.Drivers;

namespace EdgeStream.Devices.Gpio;

/// <summary>Opens the kernel's GPIO character devices by libgpiod, whichever version the system has.</summary>
public static class GpioChip
{
    /// <exception cref="IOException">There is no such chip, no libgpiod, or no right to use it.</exception>
    public static GpioDriver Open(int chip)
    {
        string device = $"/dev/gpiochip{chip}";
        if (!File.Exists(device))
            throw new IOException($"there is no {device}; 'gpiodetect' lists the chips, and chip = \"simulated\" needs none");

        try
        {
            // Debian 13 has the library that the V2 driver needs (libgpiod3), Debian 12 the one for V1 (libgpiod2).
            return GpioDriver.TryCreate(() => new LibGpiodV2Driver(chip), out LibGpiodV2Driver? current)
                ? current
                : new LibGpiodDriver(chip);
        }
        catch (Exception error)
        {
            throw new IOException($"{device} cannot be used: {OneLine(error)}; is libgpiod installed, and this user in group gpio?", error);
        }
    }

    private static string OneLine(Exception error) => error.GetBaseException().Message.Split('\n')[0].Trim();
}
