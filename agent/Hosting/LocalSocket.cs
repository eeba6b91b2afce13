using System.Net.Sockets;
using EdgeStream.Storage;

namespace EdgeStream.Agent.Hosting;

/// <summary>
/// The Unix socket that local programs use. Who may connect, its file mode says: owner and group (under systemd, group
/// <c>edgestream</c>).
/// </summary>
internal static class LocalSocket
{
    /// <summary>Makes room for the socket: its directory, and away with one that a killed process has left.</summary>
    /// <exception cref="EdgeStreamException">Another process listens there, or the place cannot be used.</exception>
    public static void Prepare(string path)
    {
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
            if (!File.Exists(path))
                return;

            if (IsAnswered(path))
                throw new EdgeStreamException($"another edgestream listens on '{path}'; stop that one or choose another with --socket");

            File.Delete(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new EdgeStreamException($"the socket '{path}' cannot be made ({error.Message}); choose another with --socket", error);
        }
    }

    /// <summary>Called once it listens.</summary>
    public static void Protect(string path) => File.SetUnixFileMode(
        path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.GroupWrite);

    private static bool IsAnswered(string path)
    {
        try
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            socket.Connect(new UnixDomainSocketEndPoint(path));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
