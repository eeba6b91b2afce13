using System.Net;
using System.Net.Sockets;
using System.Text;

namespace EdgeStream.Devices.Tests.Mqtt;

/// <summary>A device that sends whatever bytes a test wants, and reads packets.</summary>
internal sealed class RawDevice : IDisposable
{
    private readonly TcpClient _client = new();
    private readonly NetworkStream _stream;
    private bool _disposed;

    public RawDevice(IPEndPoint broker)
    {
        _client.Connect(broker);
        _client.ReceiveTimeout = 30_000;
        _stream = _client.GetStream();
    }

    /// <summary>Connects as an MQTT client that keeps its session, and waits for CONNACK; the keep-alive in seconds.</summary>
    public static RawDevice Connected(IPEndPoint broker, string id, byte version = 4, byte keepAlive = 60)
    {
        var device = new RawDevice(broker);
        byte[] properties = version == 5 ? [5, 0x11, 0, 0, 0, 60] : [];
        device.Send(0x10, [0, 4, .. "MQTT"u8, version, 0, 0, keepAlive, .. properties, 0, (byte)id.Length, .. Encoding.ASCII.GetBytes(id)]);
        Assert.Equal((0x20, 0), (device.Receive(out byte[] body), body[1]));
        return device;
    }

    public void Send(byte header, params byte[] body)
    {
        Assert.InRange(body.Length, 0, 127);
        SendBytes([header, (byte)body.Length, .. body]);
    }

    public void SendBytes(params byte[] bytes) => _stream.Write(bytes);

    /// <summary>Whether something can be received without waiting for it.</summary>
    public bool HasAnswer => _client.Available > 0;

    public void Publish(byte header, string topic, ushort id, string payload, byte version = 4)
    {
        byte[] noProperties = version == 5 ? [0] : [];
        Send(header, [
            0, (byte)topic.Length, .. Encoding.ASCII.GetBytes(topic), (byte)(id >> 8), (byte)id, .. noProperties, .. Encoding.ASCII.GetBytes(payload)]);
    }

    /// <summary>The header of the next packet; -1 where the broker has closed the connection.</summary>
    public int Receive(out byte[] body)
    {
        body = [];
        try
        {
            int header = _stream.ReadByte(), length = _stream.ReadByte();
            if (length < 0)
                return -1;

            body = new byte[length];
            _stream.ReadExactly(body);
            return header;
        }
        catch (IOException gone) when (gone.InnerException is not SocketException { SocketErrorCode: SocketError.TimedOut or SocketError.WouldBlock })
        {
            return -1;
        }
    }

    /// <summary>As a device whose power is pulled: without a word.</summary>
    public void Dispose()
    {
        if (!_disposed)
            _client.Client.LingerState = new LingerOption(true, 0);

        _disposed = true;
        _client.Dispose();
    }
}
