using System.Buffers;
using System.Net;
using System.Security.Cryptography.X509Certificates;
using MQTTnet.Channel;

namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>A peer has announced a packet that is larger than what is read here.</summary>
internal sealed class PacketTooLargeException(long size, int limit)
    : IOException($"a packet of {size} bytes is over the limit of {limit}");

/// <summary>
/// Reads along, and stops at the header of a packet that is too large: MQTTnet would get memory for all that a header announces, up
/// to 256 MB, from anybody who can connect. Takes from the connection what is there: MQTTnet asks for a header and a body at a time.
/// </summary>
internal sealed class BoundedChannel(IMqttChannel inner, int maxPacketBytes) : IMqttChannel
{
    private const int BufferBytes = 4096;

    private readonly PacketBounds _bounds = new(maxPacketBytes);
    private readonly byte[] _buffer = new byte[BufferBytes];
    private int _begin;
    private int _end;

    public X509Certificate2 ClientCertificate => inner.ClientCertificate;

    public EndPoint RemoteEndPoint => inner.RemoteEndPoint;

    public EndPoint LocalEndPoint => inner.LocalEndPoint;

    public bool IsSecureConnection => inner.IsSecureConnection;

    public Task ConnectAsync(CancellationToken cancellationToken) => inner.ConnectAsync(cancellationToken);

    public Task DisconnectAsync(CancellationToken cancellationToken) => inner.DisconnectAsync(cancellationToken);

    public Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        _begin < _end ? Task.FromResult(Take(buffer.AsSpan(offset, count))) : ReadMoreAsync(buffer, offset, count, cancellationToken);

    public Task WriteAsync(ReadOnlySequence<byte> buffer, bool isEndOfPacket, CancellationToken cancellationToken) =>
        inner.WriteAsync(buffer, isEndOfPacket, cancellationToken);

    public void Dispose() => inner.Dispose();

    private async Task<int> ReadMoreAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
    {
        if (count < BufferBytes)
        {
            (_begin, _end) = (0, await inner.ReadAsync(_buffer, 0, BufferBytes, cancellationToken).ConfigureAwait(false));
            return Take(buffer.AsSpan(offset, count));
        }

        int read = await inner.ReadAsync(buffer, offset, count, cancellationToken).ConfigureAwait(false);
        _bounds.Follow(buffer.AsSpan(offset, read));
        return read;
    }

    private int Take(Span<byte> destination)
    {
        int taken = Math.Min(destination.Length, _end - _begin);
        _buffer.AsSpan(_begin, taken).CopyTo(destination);
        _begin += taken;
        _bounds.Follow(destination[..taken]);
        return taken;
    }
}
