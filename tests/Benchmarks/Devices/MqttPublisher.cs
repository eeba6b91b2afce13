using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace EdgeStream.Benchmarks.Devices;

/// <summary>
/// A device that publishes with QoS 1 by MQTT 3.1.1 (OASIS, 2014), with some messages on their way at once. It does so little that it
/// is the broker's work that is measured. For one caller at a time.
/// </summary>
internal sealed class MqttPublisher : IDisposable
{
    private const byte Connect = 0x10, ConnectAck = 0x20, Publish = 0x32, PublishAck = 0x40;

    private readonly Socket _socket;
    private readonly byte[] _received = new byte[64 * 1024];
    private ushort _packetId;
    private int _partial;

    private MqttPublisher(Socket socket) => _socket = socket;

    public static async Task<MqttPublisher> ConnectAsync(int port, string clientId)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(IPAddress.Loopback, port);
        byte[] id = Encoding.ASCII.GetBytes(clientId);

        // Protocol name and level, a clean session, no keep-alive, and the identifier.
        byte[] packet = [Connect, (byte)(12 + id.Length), 0, 4, .. "MQTT"u8, 4, 2, 0, 0, 0, (byte)id.Length, .. id];
        await socket.SendAsync(packet);
        byte[] answer = new byte[4];
        for (int read = 0; read < answer.Length; read += await socket.ReceiveAsync(answer.AsMemory(read)))
        {
        }

        return answer[0] == ConnectAck && answer[3] == 0
            ? new MqttPublisher(socket)
            : throw new IOException($"the broker on port {port} refused '{clientId}' with code {answer[3]}");
    }

    /// <summary>Publishes so many messages, at most <paramref name="window"/> of them unacknowledged; ends when all are acknowledged.</summary>
    public async Task PublishAsync(string topic, ReadOnlyMemory<byte> payload, int count, int window)
    {
        byte[] packet = Packet(topic, payload.Span, out int idPosition);
        byte[] batch = new byte[packet.Length * window];
        int sent = 0, acknowledged = 0;
        while (acknowledged < count)
        {
            int room = Math.Min(window - (sent - acknowledged), count - sent);
            for (int i = 0; i < room; i++)
            {
                _packetId = (ushort)(_packetId == ushort.MaxValue ? 1 : _packetId + 1);
                packet.CopyTo(batch, i * packet.Length);
                BinaryPrimitives.WriteUInt16BigEndian(batch.AsSpan((i * packet.Length) + idPosition), _packetId);
            }

            if (room > 0)
                await _socket.SendAsync(batch.AsMemory(0, room * packet.Length));

            sent += room;
            acknowledged += await ReceiveAsync();
        }
    }

    public void Dispose() => _socket.Dispose();

    private static byte[] Packet(string topic, ReadOnlySpan<byte> payload, out int idPosition)
    {
        byte[] name = Encoding.UTF8.GetBytes(topic);
        int length = 2 + name.Length + 2 + payload.Length;
        byte[] lengthBytes = length < 128 ? [(byte)length] : [(byte)((length & 0x7F) | 0x80), (byte)(length >> 7)];
        idPosition = 1 + lengthBytes.Length + 2 + name.Length;
        return [Publish, .. lengthBytes, (byte)(name.Length >> 8), (byte)name.Length, .. name, 0, 0, .. payload];
    }

    /// <summary>Waits for acknowledgements; how many came.</summary>
    private async ValueTask<int> ReceiveAsync()
    {
        int read = await _socket.ReceiveAsync(_received.AsMemory(_partial));
        if (read == 0)
            throw new IOException("the broker has closed the connection");

        int available = _partial + read, whole = available / 4;
        for (int i = 0; i < whole; i++)
        {
            if (_received[i * 4] != PublishAck)
                throw new IOException($"the broker sent packet 0x{_received[i * 4]:x2} in the place of an acknowledgement");
        }

        _partial = available - (whole * 4);
        _received.AsSpan(whole * 4, _partial).CopyTo(_received);
        return whole;
    }
}
