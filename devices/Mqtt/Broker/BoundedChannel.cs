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
/// to 256 MB, from anybody who can connect.
/// </summary>
internal sealed class BoundedChannel(IMqttChannel inner, int maxPacketBytes) : IMqttChannel
{
    private readonly PacketBounds _bounds = new(maxPacketBytes);

    public X509Certificate2 ClientCertificate => inner.ClientCertificate;

    public EndPoint RemoteEndPoint => inner.RemoteEndPoint;

    public EndPoint LocalEndPoint => inner.LocalEndPoint;

    public bool IsSecureConnection => inner.IsSecureConnection;

    public Task ConnectAsync(CancellationToken cancellationToken) => inner.ConnectAsync(cancellationToken);

    public Task DisconnectAsync(CancellationToken cancellationToken) => inner.DisconnectAsync(cancellationToken);

    public async Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
    {
        int read = await inner.ReadAsync(buffer, offset, count, cancellationToken).ConfigureAwait(false);
        _bounds.Follow(buffer.AsSpan(offset, read));
        return read;
    }

    public Task WriteAsync(ReadOnlySequence<byte> buffer, bool isEndOfPacket, CancellationToken cancellationToken) =>
        inner.WriteAsync(buffer, isEndOfPacket, cancellationToken);

    public void Dispose() => inner.Dispose();
}
