using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace EdgeStream.Harness;

public enum LinkFault
{
    /// <summary>The link is well.</summary>
    None,

    /// <summary>Connections are reset, new ones too.</summary>
    Cut,

    /// <summary>Connections stay open, but nothing passes in either direction.</summary>
    Frozen,

    /// <summary>What the client sends passes; what comes back does not.</summary>
    NoAnswers,
}

/// <summary>A TCP link with faults on demand, between an edge and its hub. What was swallowed while it was ill is lost.</summary>
public sealed class FaultyLink : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly ConcurrentDictionary<Socket, byte> _sockets = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly int _targetPort;
    private long _forwarded;
    private volatile LinkFault _fault;

    public FaultyLink(int targetPort)
    {
        _targetPort = targetPort;
        _listener.Start();
        _ = AcceptAsync();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>Bytes that passed, both ways together.</summary>
    public long ForwardedBytes => Volatile.Read(ref _forwarded);

    public LinkFault Fault
    {
        get => _fault;
        set
        {
            LinkFault before = _fault;
            _fault = value;

            // A stream with a hole in it is no stream: who was swallowed from has to connect anew.
            if (value == LinkFault.Cut || before is LinkFault.Frozen or LinkFault.NoAnswers)
                ResetAll();
        }
    }

    public void Dispose()
    {
        _stop.Cancel();
        _listener.Dispose();
        ResetAll();
    }

    private async Task AcceptAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                Socket client = await _listener.AcceptSocketAsync(_stop.Token).ConfigureAwait(false);
                _ = ServeAsync(client);
            }
            catch (Exception error) when (error is SocketException or OperationCanceledException or ObjectDisposedException)
            {
                // Closing, or a client that was gone before it was served.
            }
        }
    }

    private async Task ServeAsync(Socket client)
    {
        using var server = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        client.NoDelay = true;
        _sockets.TryAdd(client, 0);
        _sockets.TryAdd(server, 0);
        try
        {
            if (_fault == LinkFault.Cut)
                return;

            await server.ConnectAsync(IPAddress.Loopback, _targetPort, _stop.Token).ConfigureAwait(false);
            await Task.WhenAny(PumpAsync(client, server, isAnswer: false), PumpAsync(server, client, isAnswer: true)).ConfigureAwait(false);
        }
        catch (Exception error) when (error is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // The hub is away; the client sees its connection reset.
        }
        finally
        {
            _sockets.TryRemove(client, out _);
            _sockets.TryRemove(server, out _);
            Reset(client);
            Reset(server);
        }
    }

    private async Task PumpAsync(Socket from, Socket to, bool isAnswer)
    {
        byte[] buffer = new byte[64 * 1024];
        try
        {
            int count;
            while ((count = await from.ReceiveAsync(buffer, _stop.Token).ConfigureAwait(false)) > 0)
            {
                bool swallow = _fault == LinkFault.Frozen || (_fault == LinkFault.NoAnswers && isAnswer);
                if (swallow)
                    continue;

                await to.SendAsync(buffer.AsMemory(0, count), _stop.Token).ConfigureAwait(false);
                Interlocked.Add(ref _forwarded, count);
            }
        }
        catch (Exception error) when (error is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // One side is gone; the other is told by the reset.
        }
    }

    private void ResetAll()
    {
        foreach (Socket socket in _sockets.Keys)
            Reset(socket);
    }

    private static void Reset(Socket socket)
    {
        try
        {
            socket.LingerState = new LingerOption(true, 0);
            socket.Dispose();
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            // Gone already.
        }
    }
}
