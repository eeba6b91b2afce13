using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace EdgeStream.Testing.Power;

/// <summary>
/// The kernel's own test of power cuts, EXT4_IOC_SHUTDOWN: from this instant on a file system writes nothing more to its disk,
/// and every call on it fails with EIO until it is mounted anew.
/// </summary>
public static partial class PowerSwitch
{
    private const nuint Shutdown = 0x8004587D;
    private const int ReadOnlyDirectoryCloseOnExec = 0x90000;

    /// <summary>The caller sees to it that the mount point is that of a file system of its own.</summary>
    /// <remarks>
    /// The cut takes some milliseconds, and an fdatasync that it overtakes may return success although its data are lost. With real
    /// power, nobody is left to hear of that.
    /// </remarks>
    /// <returns>The last moment before the cut, on the clock of <see cref="Stopwatch"/>.</returns>
    public static long Cut(string mountPoint, CutKind cut)
    {
        using SafeFileHandle directory = Open(mountPoint, ReadOnlyDirectoryCloseOnExec);
        uint flags = (uint)cut;
        long before = Stopwatch.GetTimestamp();
        if (directory.IsInvalid || IoCtl(directory, Shutdown, ref flags) != 0)
        {
            int error = Marshal.GetLastPInvokeError();
            throw new Win32Exception(error, $"the power of '{mountPoint}' stays on: {Marshal.GetPInvokeErrorMessage(error)}");
        }

        return before;
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    private static partial int IoCtl(SafeFileHandle file, nuint request, ref uint argument);
}
