using System.Net;
using System.Net.Sockets;
using System.Text;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>What a nats-server of another version says first, and no more than a client needs to be connected.</summary>
internal sealed class OldNats : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly string _version;
    private int _connections;

    public OldNats(string version)
    {
        _version = version;
        _listener.Start();
        _ = AcceptAsync();
    }

    public string Url => $"nats://{_listener.LocalEndpoint}";

    /// <summary>How many have come.</summary>
    public int Connections => Volatile.Read(ref _connections);

    public void Dispose() => _listener.Dispose();

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                TcpClient client = await _listener.AcceptTcpClientAsync();
                Interlocked.Increment(ref _connections);
                _ = ServeAsync(client);
            }
        }
        catch (Exception over) when (over is SocketException or ObjectDisposedException)
        {
            // The test is.
        }
    }

    private async Task ServeAsync(TcpClient client)
    {
        try
        {
            using (client)
            using (var reader = new StreamReader(client.GetStream(), Encoding.ASCII))
            {
                await SendAsync($$"""INFO {"server_id":"OLD","server_name":"old","version":"{{_version}}","proto":1,"headers":true,"max_payload":1048576,"jetstream":true}""");
                while (await reader.ReadLineAsync() is { } line)
                {
                    if (line == "PING")
                        await SendAsync("PONG");
                }
            }
        }
        catch (IOException)
        {
            // It has gone.
        }

        async Task SendAsync(string line) => await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(line + "\r\n"));
    }
}
