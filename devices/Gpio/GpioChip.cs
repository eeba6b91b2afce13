using System.Device.Gpio;
using System.Device.Gpio.Drivers;
using System.Runtime.InteropServices;

namespace EdgeStream.Devices.Gpio;

/// <summary>The chips of this machine: by libgpiod, whichever version there is, and, for what happened when, by the kernel itself.</summary>
public static class GpioChip
{
    // What LibGpiodV2Driver and LibGpiodDriver load.
    private static readonly string[] Libraries = ["libgpiod.so.3", "libgpiod.so.2"];

    /// <param name="chip">Its name (<c>gpiochip0</c>), the path of its device, or its label.</param>
    /// <param name="line">The line that it is wanted for.</param>
    /// <returns>The driver, for the caller to dispose, and the line's number.</returns>
    /// <exception cref="IOException">There is no such chip or line, no libgpiod, or no right to use it.</exception>
    public static (GpioDriver Driver, int Line) Open(string chip, LineId line)
    {
        // Looked at here first: what the library says of a line that is taken does not tell by whom.
        using GpioChipDevice device = GpioChipDevice.Open(chip);
        int number = device.FindFree(line), chipNumber = device.Number;
        try
        {
            return (CreateDriver(chipNumber), number);
        }
        catch (Exception error)
        {
            throw new IOException($"{device.Path} cannot be used: {OneLine(error)}; is libgpiod installed, and this user in group gpio?", error);
        }
    }

    /// <summary>Opens an input line whose changes are wanted, with the kernel's time for each.</summary>
    /// <exception cref="IOException">There is no such line, somebody has it, or there is no right to use it.</exception>
    public static IInputLine OpenInput(string chip, GpioLineOptions options) => KernelLine.Open(chip, options);

    /// <summary>What would keep a line from being opened now, in one line; null where nothing would.</summary>
    public static string? FindProblem(string chip, LineId line)
    {
        try
        {
            using GpioChipDevice device = GpioChipDevice.Open(chip);
            device.FindFree(line);
            return null;
        }
        catch (IOException error)
        {
            return error.Message;
        }
    }

    /// <summary>What keeps the library from being used that polled lines and outputs need, in one line; null where it is there.</summary>
    public static string? FindLibraryProblem() => FindLibraryProblem(name =>
    {
        bool isThere = NativeLibrary.TryLoad(name, out nint library);
        if (isThere)
            NativeLibrary.Free(library);

        return isThere;
    });

    internal static string? FindLibraryProblem(Func<string, bool> canLoad) => Libraries.Any(canLoad)
        ? null
        : "libgpiod is missing, which polled lines and outputs need; 'sudo apt install libgpiod3', on Debian 12 libgpiod2";

    /// <summary>Debian 13 has the library that the V2 driver needs (libgpiod3), Debian 12 the one for V1 (libgpiod2).</summary>
    private static GpioDriver CreateDriver(int chipNumber)
    {
        try
        {
            return new LibGpiodV2Driver(chipNumber);
        }
        catch (Exception error) when (error.GetBaseException() is DllNotFoundException)
        {
            // GpioDriver.TryCreate lets this one through.
            return new LibGpiodDriver(chipNumber);
        }
    }

    private static string OneLine(Exception error) => error.GetBaseException().Message.Split('\n')[0].Trim();
}
