using EdgeStream.Devices.Kernel;
using Microsoft.Win32.SafeHandles;

namespace EdgeStream.Devices.Sysfs;

/// <summary>Reads files that the kernel makes up while they are read.</summary>
internal static class KernelFile
{
    // A file of sysfs is a page at most.
    private const int MaxLength = 4096;

    /// <summary>All of a file. Does not wait for anybody to write, as there may be somebody with a FIFO; a slow sensor takes its time.</summary>
    /// <exception cref="IOException">It cannot be read; the message says what to do.</exception>
    public static ReadOnlySpan<byte> Read(string path)
    {
        byte[] buffer = new byte[MaxLength + 1];
        int length = 0;
        try
        {
            using SafeFileHandle file = LibC.OpenForReading(path);
            while (length < buffer.Length && LibC.Read(file, buffer.AsSpan(length)) is > 0 and var read)
                length += read;
        }
        catch (ErrnoException error)
        {
            throw new IOException(Describe(path, error), error);
        }

        return length <= MaxLength ? buffer.AsSpan(0, length) : throw new IOException($"'{path}' is larger than {MaxLength} bytes; that is no sensor's value");
    }

    private static string Describe(string path, ErrnoException error) => error.Number switch
    {
        Errno.NoEntry or Errno.NoDevice or Errno.NoSuchDeviceOrAddress => $"'{path}' is not there; is the sensor plugged in and its driver loaded?",
        Errno.AccessDenied or Errno.NotPermitted => $"user {Environment.UserName} may not read '{path}'; a udev rule or a group gives it the right",
        Errno.InputOutput => $"the sensor behind '{path}' does not answer; is its wiring good?",
        Errno.TryAgain => $"'{path}' has nothing to read at the moment",
        _ => $"'{path}' cannot be read: {error.Message}",
    };
}
