using System.Runtime.InteropServices;

namespace EdgeStream.Devices.Kernel;

/// <summary>A system call has failed. Whoever knows what it was for turns it into a message that says what to do.</summary>
internal sealed class ErrnoException(int number) : IOException(Marshal.GetPInvokeErrorMessage(number).ToLowerInvariant())
{
    public int Number => number;

    public static ErrnoException Last() => new(Marshal.GetLastPInvokeError());
}
