using System.ComponentModel;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace EdgeStream.Harness.Network;

/// <summary>
/// A network interface whose other end is this process: what the kernel routes to it is read here, and the other way round.
/// </summary>
internal sealed partial class TunDevice : IDisposable
{
    // Closed in programs that are started meanwhile: an interface that one of them holds would still be there.
    private const int ReadWriteNonBlocking = 0x2 | 0x800 | 0x80000;
    private const int SetInterface = 0x400454ca;
    private const short TunWithoutHeader = 0x0001 | 0x1000;
    private const short Readable = 1;
    private const int RequestBytes = 40;
    private const int NameBytes = 16;

    private readonly SafeFileHandle _file;

    private TunDevice(SafeFileHandle file) => _file = file;

    /// <summary>Makes the interface in a network; it is gone when this is disposed.</summary>
    public static TunDevice Create(NetworkNamespace network, string name)
    {
        TunDevice device = network.Invoke(() =>
        {
            SafeFileHandle file = Open("/dev/net/tun", ReadWriteNonBlocking);
            if (file.IsInvalid)
                throw new Win32Exception();

            byte[] request = new byte[RequestBytes];
            Encoding.ASCII.GetBytes(name, request);
            BitConverter.TryWriteBytes(request.AsSpan(NameBytes), TunWithoutHeader);
            if (Control(file, SetInterface, request) != 0)
                throw new Win32Exception();

            return new TunDevice(file);
        });
        network.Ip("link", "set", name, "up");
        return device;
    }

    /// <summary>Waits until there is a packet to read; false when there was none in time.</summary>
    public bool Wait(TimeSpan most)
    {
        var request = new PollRequest { Descriptor = (int)_file.DangerousGetHandle(), Events = Readable };
        return Poll(ref request, 1, Math.Max(0, (int)Math.Ceiling(most.TotalMilliseconds))) > 0;
    }

    /// <summary>The next IP packet's length; 0 where none waits.</summary>
    public int Read(Span<byte> packet) => (int)Math.Max(0, Read(_file, packet, packet.Length));

    /// <summary>Hands the kernel a packet as if it had come in here. What it has no room for is lost, as on any link.</summary>
    public void Write(ReadOnlySpan<byte> packet) => _ = Write(_file, packet, packet.Length);

    public void Dispose() => _file.Dispose();

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    private static partial int Control(SafeFileHandle file, nint request, Span<byte> argument);

    [LibraryImport("libc", EntryPoint = "poll")]
    private static partial int Poll(ref PollRequest requests, nint count, int milliseconds);

    [LibraryImport("libc", EntryPoint = "read")]
    private static partial nint Read(SafeFileHandle file, Span<byte> buffer, nint count);

    [LibraryImport("libc", EntryPoint = "write")]
    private static partial nint Write(SafeFileHandle file, ReadOnlySpan<byte> buffer, nint count);

    [StructLayout(LayoutKind.Sequential)]
    private struct PollRequest
    {
        public int Descriptor;
        public short Events;
        public short Returned;
    }
}
