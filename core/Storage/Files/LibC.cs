using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace EdgeStream.Storage.Files;

/// <summary>
/// The system calls that the .NET library cannot be trusted with: its flush methods return normally when the kernel's fsync
/// reports EIO, and it has none for directories.
/// </summary>
internal static partial class LibC
{
    private const int ReadOnlyCloseOnExec = 0x80000;
    private const int Interrupted = 4; // EINTR
    private const int NotSupported = 95; // EOPNOTSUPP

    /// <exception cref="IOException">fdatasync(2) failed.</exception>
    public static void SyncData(SafeFileHandle file, string path)
    {
        while (FDataSync(file) != 0)
        {
            ThrowUnlessInterrupted("fdatasync", path);
        }
    }

    /// <exception cref="IOException">The directory could not be opened, or fsync(2) failed.</exception>
    public static void SyncDirectory(string path)
    {
        using SafeFileHandle directory = Open(path, ReadOnlyCloseOnExec);
        if (directory.IsInvalid)
            throw Error("open", path);

        while (FSync(directory) != 0)
        {
            ThrowUnlessInterrupted("fsync", path);
        }
    }

    /// <exception cref="IOException">fallocate(2) failed; the file system has no room, or is broken.</exception>
    public static void Allocate(SafeFileHandle file, string path, long length)
    {
        while (FAllocate(file, 0, 0, length) != 0)
        {
            if (Marshal.GetLastPInvokeError() == NotSupported)
            {
                if (RandomAccess.GetLength(file) < length)
                    RandomAccess.SetLength(file, length);

                return;
            }

            ThrowUnlessInterrupted("fallocate", path);
        }
    }

    private static void ThrowUnlessInterrupted(string call, string path)
    {
        if (Marshal.GetLastPInvokeError() != Interrupted)
            throw Error(call, path);
    }

    private static IOException Error(string call, string path) =>
        new($"{call} of '{path}' failed: {Marshal.GetLastPInvokeErrorMessage()}", Marshal.GetLastPInvokeError());

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    private static partial int FDataSync(SafeFileHandle file);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int FSync(SafeFileHandle file);

    [LibraryImport("libc", EntryPoint = "fallocate", SetLastError = true)]
    private static partial int FAllocate(SafeFileHandle file, int mode, long offset, long length);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle Open(string path, int flags);
}
