using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace EdgeStream.Devices.Kernel;

/// <summary>The system calls that .NET has no method for. What fails is an <see cref="ErrnoException"/>.</summary>
internal static partial class LibC
{
    private const short PollIn = 0x1;
    private const int ReadOnlyNonBlockingCloseOnExec = 0x80800; // O_RDONLY | O_NONBLOCK | O_CLOEXEC
    private const int ExecuteOk = 1; // X_OK
    private const int EventFdCloseOnExec = 0x80000;

    [StructLayout(LayoutKind.Sequential)]
    private struct PollFd
    {
        public int Fd;
        public short Events;
        public short ReturnedEvents;
    }

    /// <summary>Opens for reading without ever waiting: not for the other end of a FIFO, nor for a device to be ready.</summary>
    public static SafeFileHandle OpenForReading(string path)
    {
        SafeFileHandle file = Open(path, ReadOnlyNonBlockingCloseOnExec);
        return file.IsInvalid ? throw ErrnoException.Last() : file;
    }

    /// <returns>How many bytes were read; 0 at the end.</returns>
    public static int Read(SafeFileHandle file, Span<byte> buffer)
    {
        while (true)
        {
            nint read = Read(file, buffer, (nuint)buffer.Length);
            if (read >= 0)
                return (int)read;

            if (Marshal.GetLastPInvokeError() != Errno.Interrupted)
                throw ErrnoException.Last();
        }
    }

    /// <param name="device">What the request is for.</param>
    /// <param name="request">Its number, which says how large <paramref name="argument"/> is.</param>
    /// <param name="argument">Read and written by the kernel.</param>
    public static void Control<T>(SafeFileHandle device, uint request, ref T argument)
        where T : unmanaged
    {
        Span<byte> bytes = MemoryMarshal.AsBytes(new Span<T>(ref argument));
        if (Ioctl(device, request, bytes) < 0)
            throw ErrnoException.Last();
    }

    /// <summary>Something that <see cref="WaitForEither"/> can wait for and <see cref="Signal"/> sets.</summary>
    public static SafeFileHandle CreateEvent()
    {
        SafeFileHandle created = EventFd(0, EventFdCloseOnExec);
        return created.IsInvalid ? throw ErrnoException.Last() : created;
    }

    public static void Signal(SafeFileHandle created)
    {
        ReadOnlySpan<byte> one = BitConverter.GetBytes(1L);
        if (Write(created, one, (nuint)one.Length) < 0)
            throw ErrnoException.Last();
    }

    /// <summary>Waits until one of two can be read from or has an error, which the next read tells; says which.</summary>
    public static (bool First, bool Second) WaitForEither(SafeFileHandle first, SafeFileHandle second)
    {
        // The caller keeps both open while it waits.
        Span<PollFd> both =
        [
            new PollFd { Fd = (int)first.DangerousGetHandle(), Events = PollIn },
            new PollFd { Fd = (int)second.DangerousGetHandle(), Events = PollIn },
        ];
        while (Poll(both, (nuint)both.Length, timeout: -1) < 0)
        {
            if (Marshal.GetLastPInvokeError() != Errno.Interrupted)
                throw ErrnoException.Last();
        }

        return (both[0].ReturnedEvents != 0, both[1].ReturnedEvents != 0);
    }

    /// <summary>Whether this process may execute a file, whichever of its rights decides about that.</summary>
    public static bool MayExecute(string path) => Access(path, ExecuteOk) == 0;

    /// <summary>Sends a signal to all processes of a group; nothing happens where it has none any more.</summary>
    public static void SignalGroup(int group, int signal) => _ = Kill(-group, signal);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "access", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Access(string path, int mode);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    private static partial nint Read(SafeFileHandle file, Span<byte> buffer, nuint length);

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    private static partial nint Write(SafeFileHandle file, ReadOnlySpan<byte> buffer, nuint length);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    private static partial int Ioctl(SafeFileHandle device, nuint request, Span<byte> argument);

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    private static partial int Poll(Span<PollFd> files, nuint count, int timeout);

    [LibraryImport("libc", EntryPoint = "eventfd", SetLastError = true)]
    private static partial SafeFileHandle EventFd(uint initial, int flags);

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int process, int signal);
}
