using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace EdgeStream.Agent.Hosting.Systemd;

/// <summary>
/// journald's own socket, which takes an entry's fields as they are: <c>journalctl EDGESTREAM_TOPIC=readings</c> finds what
/// concerns a topic. The protocol is at https://systemd.io/JOURNAL_NATIVE_PROTOCOL/. Safe from any thread.
/// </summary>
internal sealed class Journal : IDisposable
{
    private const string Path = "/run/systemd/journal/socket";

    // Well below what a datagram takes; nobody reads more of one line.
    private const int MaxValueBytes = 32 * 1024;

    private readonly Socket _socket;
    private int _lost;

    private Journal(Socket socket) => _socket = socket;

    /// <summary>Null where the journal cannot be reached.</summary>
    public static Journal? TryOpen()
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        try
        {
            socket.Connect(new UnixDomainSocketEndPoint(Path));

            // A journal that hangs must not hang what writes to it.
            socket.Blocking = false;
            return new Journal(socket);
        }
        catch (SocketException)
        {
            socket.Dispose();
            return null;
        }
    }

    /// <summary>Writes an entry. One that the journal does not take is counted, and the next one tells how many.</summary>
    public void Write(IEnumerable<KeyValuePair<string, string>> fields)
    {
        var entry = new ArrayBufferWriter<byte>(512);
        foreach ((string name, string value) in fields)
            Add(entry, name, value);

        int lost = Volatile.Read(ref _lost);
        if (lost > 0)
            Add(entry, "EDGESTREAM_LOST_ENTRIES", lost.ToString(CultureInfo.InvariantCulture));

        try
        {
            _socket.Send(entry.WrittenSpan);
            if (lost > 0)
                Interlocked.Add(ref _lost, -lost);
        }
        catch (SocketException)
        {
            Interlocked.Increment(ref _lost);
        }
    }

    public void Dispose() => _socket.Dispose();

    private static void Add(ArrayBufferWriter<byte> entry, string name, string value)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(value);
        ReadOnlySpan<byte> kept = bytes.AsSpan(0, Math.Min(bytes.Length, MaxValueBytes));
        Encoding.ASCII.GetBytes(name, entry);

        // What has a line break is told its length instead of its end.
        if (kept.Contains((byte)'\n'))
        {
            entry.Write("\n"u8);
            BinaryPrimitives.WriteInt64LittleEndian(entry.GetSpan(sizeof(long)), kept.Length);
            entry.Advance(sizeof(long));
        }
        else
        {
            entry.Write("="u8);
        }

        entry.Write(kept);
        entry.Write("\n"u8);
    }
}
