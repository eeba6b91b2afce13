using System.Globalization;
using EdgeStream.Devices.Gpio.Uapi;
using EdgeStream.Devices.Kernel;
using Microsoft.Win32.SafeHandles;

namespace EdgeStream.Devices.Gpio;

/// <summary>
/// A chip's character device: finds it and its lines, and says in one line what is wrong where that is not possible. Lines that were
/// requested stay open when it is closed.
/// </summary>
internal sealed class GpioChipDevice : IDisposable
{
    private const string Folder = "/dev";
    private const string Prefix = "gpiochip";

    private readonly SafeFileHandle _device;

    private GpioChipDevice(string path, SafeFileHandle device, GpioChipInformation information)
    {
        Path = path;
        _device = device;
        Label = information.Label.ToString();
        LineCount = (int)information.Lines;
    }

    /// <summary>Where it is, for instance <c>/dev/gpiochip0</c>; not a link to it.</summary>
    public string Path { get; }

    /// <summary>What its driver calls it, for instance <c>pinctrl-bcm2835</c>.</summary>
    public string Label { get; }

    public int LineCount { get; }

    /// <summary>Its number in <see cref="Path"/>.</summary>
    /// <exception cref="IOException">It has none.</exception>
    public int Number => NumberIn(Path) ?? throw new IOException($"{Path} has no number; name the chip by its label, which 'gpiodetect' shows");

    /// <param name="chip">Its name (<c>gpiochip0</c>), the path of its device or of a link to it, or its label.</param>
    /// <exception cref="IOException">There is no such chip, or no right to use it.</exception>
    public static GpioChipDevice Open(string chip)
    {
        if (chip.StartsWith('/'))
            return OpenPath(chip);

        if (NumberIn(chip) is not null)
            return OpenPath($"{Folder}/{chip}");

        IOException? refused = null;
        foreach (string path in Directory.EnumerateFiles(Folder, Prefix + "*").Order(StringComparer.Ordinal))
        {
            try
            {
                GpioChipDevice device = OpenPath(path);
                if (device.Label == chip)
                    return device;

                device.Dispose();
            }
            catch (IOException error)
            {
                // It may be the one; or another one that this user has no business with.
                refused = error;
            }
        }

        throw refused ?? new IOException($"no GPIO chip has the label '{chip}'; 'gpiodetect' lists the chips");
    }

    /// <summary>The number of a line that nobody uses.</summary>
    /// <exception cref="IOException">There is no such line, or somebody has it.</exception>
    public int FindFree(LineId line)
    {
        int number = line.Name is { } name ? NumberOf(name) : line.Number;
        if (number >= LineCount)
            throw new IOException($"{Path} has lines 0 to {LineCount - 1}, and no {number}; 'gpioinfo' lists them");

        GpioLineInformation information = InformationOf(number);
        return (information.Flags & GpioUapi.FlagUsed) == 0 ? number : throw InUse(number, information);
    }

    /// <summary>Takes an input line.</summary>
    /// <exception cref="IOException">It cannot be had.</exception>
    public SafeFileHandle RequestInput(int line, ulong flags)
    {
        var request = new GpioLineRequest
        {
            Offset = (uint)line,
            LineCount = 1,
            Consumer = KernelText.From("edgestream"),
            Flags = GpioUapi.FlagInput | flags,
            EventBufferSize = GpioUapi.MaxEventBuffer,
        };
        try
        {
            LibC.Control(_device, GpioUapi.GetLine, ref request);
            return new SafeFileHandle(request.Fd, ownsHandle: true);
        }
        catch (ErrnoException error)
        {
            throw error.Number switch
            {
                Errno.Busy => InUse(line, InformationOf(line)),
                Errno.NoSuchDeviceOrAddress => new IOException($"line {line} of {Path} cannot report its changes; set poll = \"1s\" or so"),
                _ => new IOException($"line {line} of {Path} cannot be opened: {error.Message}", error),
            };
        }
    }

    public void Dispose() => _device.Dispose();

    private static GpioChipDevice OpenPath(string path)
    {
        try
        {
            // What libgpiod opens by number is the device itself; on a Raspberry Pi 5 gpiochip4 is a link to gpiochip0.
            path = File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path;
            SafeFileHandle device = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
            try
            {
                GpioChipInformation information = default;
                LibC.Control(device, GpioUapi.GetChipInfo, ref information);
                return new GpioChipDevice(path, device, information);
            }
            catch
            {
                device.Dispose();
                throw;
            }
        }
        catch (UnauthorizedAccessException)
        {
            throw new IOException(
                $"user {Environment.UserName} may not use {path}; 'sudo usermod -aG gpio {Environment.UserName}' adds the user to group gpio, then start anew");
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new IOException($"there is no {path}; 'gpiodetect' lists the chips, and chip = \"simulated\" needs none");
        }
        catch (ErrnoException error)
        {
            throw new IOException($"{path} is no GPIO chip: {error.Message}; 'gpiodetect' lists the chips", error);
        }
    }

    private static int? NumberIn(string path)
    {
        ReadOnlySpan<char> name = System.IO.Path.GetFileName(path.AsSpan());
        return name.StartsWith(Prefix, StringComparison.Ordinal)
            && int.TryParse(name[Prefix.Length..], NumberStyles.None, CultureInfo.InvariantCulture, out int number)
            ? number
            : null;
    }

    private int NumberOf(string name)
    {
        for (int number = 0; number < LineCount; number++)
        {
            if (InformationOf(number).Name.ToString() == name)
                return number;
        }

        throw new IOException($"no line of {Path} has the name '{name}'; 'gpioinfo' lists them");
    }

    private GpioLineInformation InformationOf(int number)
    {
        var information = new GpioLineInformation { Offset = (uint)number };
        try
        {
            LibC.Control(_device, GpioUapi.GetLineInfo, ref information);
            return information;
        }
        catch (ErrnoException error)
        {
            throw new IOException($"line {number} of {Path} cannot be asked for: {error.Message}", error);
        }
    }

    private IOException InUse(int number, GpioLineInformation information)
    {
        string consumer = information.Consumer.ToString();
        string who = consumer.Length > 0 ? $"'{consumer}'" : "another program";
        return new IOException($"line {number} of {Path} is in use by {who}; end that, or choose another line ('gpioinfo' lists them)");
    }
}
