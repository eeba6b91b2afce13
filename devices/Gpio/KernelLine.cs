using System.Runtime.InteropServices;
using EdgeStream.Devices.Gpio.Uapi;
using EdgeStream.Devices.Kernel;
using Microsoft.Win32.SafeHandles;

namespace EdgeStream.Devices.Gpio;

/// <summary>
/// An input line by the kernel's own interface, which knows two things that no library passes on: when a change happened, and how many
/// were lost because nobody read them in time.
/// </summary>
/// <param name="number">The line's number.</param>
/// <param name="line">What the kernel gave for it; owned from now on.</param>
internal sealed class KernelLine(int number, SafeFileHandle line) : IInputLine
{
    private const int EventsPerRead = 16;

    public int Number => number;

    /// <exception cref="IOException">There is no such line, somebody has it, or there is no right to use it.</exception>
    public static KernelLine Open(string chip, GpioLineOptions options)
    {
        using GpioChipDevice device = GpioChipDevice.Open(chip);
        int number = device.FindFree(options.Line);
        return new KernelLine(number, device.RequestInput(number, FlagsOf(options)));
    }

    public bool Read()
    {
        var values = new GpioLineValues { Mask = 1 };
        LibC.Control(line, GpioUapi.GetLineValues, ref values);
        return (values.Bits & 1) != 0;
    }

    public Task WatchAsync(Action<LineChange> seen, CancellationToken cancellationToken) =>
        Task.Factory.StartNew(() => Watch(seen, cancellationToken), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    public void Dispose() => line.Dispose();

    private static ulong FlagsOf(GpioLineOptions options)
    {
        ulong edges = options.WatchedEdge switch
        {
            GpioEdge.Rising => GpioUapi.FlagEdgeRising,
            GpioEdge.Falling => GpioUapi.FlagEdgeFalling,
            _ => GpioUapi.FlagEdgeRising | GpioUapi.FlagEdgeFalling,
        };
        ulong pull = options.Pull switch
        {
            GpioPull.Up => GpioUapi.FlagPullUp,
            GpioPull.Down => GpioUapi.FlagPullDown,
            _ => 0,
        };
        return edges | pull | (options.ActiveLow ? GpioUapi.FlagActiveLow : 0);
    }

    private void Watch(Action<LineChange> seen, CancellationToken cancellationToken)
    {
        using SafeFileHandle stop = LibC.CreateEvent();
        using CancellationTokenRegistration stopping = cancellationToken.Register(() => LibC.Signal(stop));
        uint last = 0;

        // What the kernel has kept at a stop is at most one buffer full; what comes after that came after the stop.
        uint left = GpioUapi.MaxEventBuffer;
        while (left > 0)
        {
            (bool changed, bool stopped) = LibC.WaitForEither(line, stop);
            if (!changed)
                return;

            uint read = HandOver(seen, ref last);
            left = !stopped ? left : left > read ? left - read : 0;
        }
    }

    private uint HandOver(Action<LineChange> seen, ref uint last)
    {
        Span<GpioLineEvent> events = stackalloc GpioLineEvent[EventsPerRead];
        int read;
        try
        {
            read = LibC.Read(line, MemoryMarshal.AsBytes(events)) / Marshal.SizeOf<GpioLineEvent>();
        }
        catch (ErrnoException error)
        {
            throw new IOException($"line {number} is gone: {error.Message}; is its chip still plugged in?", error);
        }

        if (read == 0)
            throw new IOException($"line {number} is gone; is its chip still plugged in?");

        foreach (GpioLineEvent next in events[..read])
        {
            uint lost = unchecked(next.LineSequence - last - 1);
            last = next.LineSequence;
            seen(new LineChange(next.Id == GpioUapi.RisingEdge, TimeSpan.FromTicks((long)(next.TimestampNs / 100)), lost));
        }

        return (uint)read;
    }
}
