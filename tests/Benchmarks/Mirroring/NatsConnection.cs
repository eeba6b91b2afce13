using System.Buffers;
using System.Collections.Concurrent;
using System.Globalization;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace EdgeStream.Benchmarks.Mirroring;

/// <summary>
/// A connection to nats-server by its text protocol: publish, subscribe, and requests to its JetStream API. One caller at a time;
/// subscribers are called by the reading task.
/// </summary>
internal sealed class NatsConnection : IDisposable
{
    private const int FlushBytes = 64 * 1024;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private readonly ConcurrentDictionary<string, Action<string, byte[]>> _subscribers = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, TaskCompletionSource<byte[]>> _requests = new(StringComparer.Ordinal);
    private readonly ConcurrentQueue<TaskCompletionSource> _pings = new();
    private readonly SemaphoreSlim _writing = new(1);
    private readonly string _inbox = $"_INBOX.{Guid.NewGuid():N}";
    private readonly Socket _socket;
    private readonly NetworkStream _stream;
    private readonly PipeWriter _output;
    private long _unflushed;
    private int _number;

    private NatsConnection(Socket socket)
    {
        _socket = socket;
        _stream = new NetworkStream(socket, ownsSocket: true);
        _output = PipeWriter.Create(_stream);
    }

    public static async Task<NatsConnection> ConnectAsync(int port)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(IPAddress.Loopback, port);
        var connection = new NatsConnection(socket);
        _ = Task.Run(connection.ReadAsync);
        await connection.SendAsync("CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n");
        await connection.SubscribeAsync(connection._inbox + ".*", connection.Answered);
        await connection.FlushAsync();
        return connection;
    }

    /// <summary>Puts a message into the connection's buffer, and sends the buffer when it is large enough.</summary>
    public async ValueTask PublishAsync(string subject, ReadOnlyMemory<byte> payload, string reply = "")
    {
        await _writing.WaitAsync();
        try
        {
            Write(reply.Length == 0 ? $"PUB {subject} {payload.Length}\r\n" : $"PUB {subject} {reply} {payload.Length}\r\n");
            _output.Write(payload.Span);
            Write("\r\n");
            _unflushed += payload.Length;
            if (_unflushed < FlushBytes)
                return;

            _unflushed = 0;
            await _output.FlushAsync();
        }
        finally
        {
            _writing.Release();
        }
    }

    /// <summary>Sends what is buffered, and waits until the server has read all of it.</summary>
    public async Task FlushAsync()
    {
        var pong = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _pings.Enqueue(pong);
        await SendAsync("PING\r\n");
        await pong.Task.WaitAsync(Deadline);
    }

    public Task SubscribeAsync(string subject, Action<string, byte[]> arrived)
    {
        string id = $"{Interlocked.Increment(ref _number)}";
        _subscribers[id] = arrived;
        return SendAsync($"SUB {subject} {id}\r\n");
    }

    /// <summary>Sends what is buffered now, and a line behind it.</summary>
    public async Task SendAsync(string line = "")
    {
        await _writing.WaitAsync();
        try
        {
            Write(line);
            _unflushed = 0;
            await _output.FlushAsync();
        }
        finally
        {
            _writing.Release();
        }
    }

    /// <summary>A request to the JetStream API.</summary>
    /// <exception cref="InvalidOperationException">It was refused.</exception>
    public async Task<JsonElement> RequestAsync(string subject, string json)
    {
        string reply = $"{_inbox}.{Interlocked.Increment(ref _number)}";
        var answer = new TaskCompletionSource<byte[]>(TaskCreationOptions.RunContinuationsAsynchronously);
        _requests[reply] = answer;
        await PublishAsync(subject, Encoding.UTF8.GetBytes(json), reply);
        await SendAsync();
        byte[] text = await answer.Task.WaitAsync(Deadline);
        if (text.Length == 0)
            throw new InvalidOperationException($"nobody answers {subject}");

        using JsonDocument document = JsonDocument.Parse(text);
        return document.RootElement.TryGetProperty("error", out JsonElement error)
            ? throw new InvalidOperationException($"{subject}: {error}")
            : document.RootElement.Clone();
    }

    public void Dispose()
    {
        _stream.Dispose();
        _socket.Dispose();
        _writing.Dispose();
    }

    private void Answered(string subject, byte[] payload)
    {
        if (_requests.TryRemove(subject, out TaskCompletionSource<byte[]>? answer))
            answer.TrySetResult(payload);
    }

    private void Write(string text) => Encoding.ASCII.GetBytes(text, _output);

    private async Task ReadAsync()
    {
        PipeReader input = PipeReader.Create(_stream, new StreamPipeReaderOptions(bufferSize: 64 * 1024));
        try
        {
            while (true)
            {
                ReadResult result = await input.ReadAsync();
                ReadOnlySequence<byte> buffer = result.Buffer;
                while (TryTake(ref buffer, out string[] words, out byte[] payload))
                    await HandleAsync(words, payload);

                input.AdvanceTo(buffer.Start, buffer.End);
                if (result.IsCompleted)
                    return;
            }
        }
        catch (Exception error) when (error is IOException or ObjectDisposedException or SocketException)
        {
            // Closed.
        }
    }

    /// <summary>The next message: its line in words, and what follows the line where it says so.</summary>
    private static bool TryTake(ref ReadOnlySequence<byte> buffer, out string[] words, out byte[] payload)
    {
        (words, payload) = ([], []);
        if (buffer.PositionOf((byte)'\n') is not { } end)
            return false;

        words = Encoding.ASCII.GetString(buffer.Slice(0, end)).TrimEnd('\r').Split(' ');
        ReadOnlySequence<byte> rest = buffer.Slice(buffer.GetPosition(1, end));
        if (words[0] is "MSG" or "HMSG")
        {
            int length = int.Parse(words[^1], CultureInfo.InvariantCulture);
            int headers = words[0] == "HMSG" ? int.Parse(words[^2], CultureInfo.InvariantCulture) : 0;
            if (rest.Length < length + 2)
                return false;

            payload = rest.Slice(headers, length - headers).ToArray();
            rest = rest.Slice(length + 2);
        }

        buffer = rest;
        return true;
    }

    private async ValueTask HandleAsync(string[] words, byte[] payload)
    {
        switch (words[0])
        {
            case "MSG" or "HMSG" when _subscribers.TryGetValue(words[2], out Action<string, byte[]>? arrived):
                arrived(words[1], payload);
                break;

            case "PING":
                await SendAsync("PONG\r\n");
                break;

            case "PONG" when _pings.TryDequeue(out TaskCompletionSource? pong):
                pong.SetResult();
                break;

            case "-ERR":
                Console.Error.WriteLine($"nats-server says: {string.Join(' ', words)}");
                break;
        }
    }
}
