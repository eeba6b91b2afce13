using System.Buffers;
using System.Net;
using System.Security.Cryptography.X509Certificates;
using MQTTnet.Channel;

namespace EdgeStream.Devices.Mqtt;

/// <summary>
/// Cuts a message that is too large to its first <paramref name="maxPacketBytes"/>, and reads past the rest. So it can be
/// acknowledged and the next one comes, in memory that is bounded.
/// </summary>
/// <remarks>
/// MQTTnet gets memory for all that a header announces, up to 256 MB. In MQTT 5 a broker is told what is taken; in MQTT 3.1.1 it
/// cannot be, and a broker to which the connection is closed sends the message again at the next one, before all others.
/// </remarks>
/// <param name="inner">The connection; disposed with this.</param>
/// <param name="maxPacketBytes">What a packet may have behind its header ([MQTT-2.2.3]: type, then a length of seven bits a byte).</param>
internal sealed class TrimmingChannel(IMqttChannel inner, int maxPacketBytes) : IMqttChannel
{
    private const int MinHeaderBytes = 2;
    private const int MaxHeaderBytes = 5;
    private const int Publish = 0x3;
    private const int DiscardedAtOnce = 16 * 1024;

    private readonly byte[] _header = new byte[MaxHeaderBytes];
    private int _headerBytes;
    private int _headerRead;
    private int _bodyLeft;
    private int _excess;

    public X509Certificate2 ClientCertificate => inner.ClientCertificate;

    public EndPoint RemoteEndPoint => inner.RemoteEndPoint;

    public EndPoint LocalEndPoint => inner.LocalEndPoint;

    public bool IsSecureConnection => inner.IsSecureConnection;

    public Task ConnectAsync(CancellationToken cancellationToken) => inner.ConnectAsync(cancellationToken);

    public Task DisconnectAsync(CancellationToken cancellationToken) => inner.DisconnectAsync(cancellationToken);

    /// <returns>0 at the end of the connection.</returns>
    /// <exception cref="InvalidDataException">What comes is no MQTT, or a packet without a message that is too large.</exception>
    public async Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
    {
        if (_headerRead == _headerBytes && _bodyLeft == 0
            && !(await TryDiscardAsync(cancellationToken).ConfigureAwait(false) && await TryReadHeaderAsync(cancellationToken).ConfigureAwait(false)))
        {
            return 0;
        }

        int read = Math.Min(count, _headerBytes - _headerRead);
        if (read > 0)
        {
            _header.AsSpan(_headerRead, read).CopyTo(buffer.AsSpan(offset));
            _headerRead += read;
            return read;
        }

        read = await inner.ReadAsync(buffer, offset, Math.Min(count, _bodyLeft), cancellationToken).ConfigureAwait(false);
        _bodyLeft -= read;
        return read;
    }

    public Task WriteAsync(ReadOnlySequence<byte> buffer, bool isEndOfPacket, CancellationToken cancellationToken) =>
        inner.WriteAsync(buffer, isEndOfPacket, cancellationToken);

    public void Dispose() => inner.Dispose();

    private async Task<bool> TryDiscardAsync(CancellationToken cancellationToken)
    {
        if (_excess == 0)
            return true;

        byte[] discarded = ArrayPool<byte>.Shared.Rent(DiscardedAtOnce);
        try
        {
            while (_excess > 0)
            {
                int read = await inner.ReadAsync(discarded, 0, Math.Min(discarded.Length, _excess), cancellationToken).ConfigureAwait(false);
                if (read == 0)
                    return false;

                _excess -= read;
            }

            return true;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(discarded);
        }
    }

    private async Task<bool> TryReadHeaderAsync(CancellationToken cancellationToken)
    {
        (_headerBytes, _headerRead) = (0, 0);
        int filled = 0, wanted = MinHeaderBytes;
        while (filled < wanted)
        {
            int read = await inner.ReadAsync(_header, filled, wanted - filled, cancellationToken).ConfigureAwait(false);
            if (read == 0)
                return false;

            filled += read;
            if (filled == wanted && (_header[filled - 1] & 0x80) != 0 && ++wanted > MaxHeaderBytes)
                throw new InvalidDataException("the length of a packet is not one of MQTT");
        }

        int length = 0;
        for (int i = 1; i < filled; i++)
            length |= (_header[i] & 0x7F) << (7 * (i - 1));

        _bodyLeft = Math.Min(length, maxPacketBytes);
        _excess = length - _bodyLeft;
        if (_excess > 0)
        {
            if (_header[0] >> 4 != Publish)
                throw new InvalidDataException($"a packet of {length} bytes is over the limit of {maxPacketBytes}");

            // In as many bytes as there were, of which the last ones may add nothing.
            for (int i = 1; i < filled; i++)
                _header[i] = (byte)(((_bodyLeft >> (7 * (i - 1))) & 0x7F) | (i < filled - 1 ? 0x80 : 0));
        }

        _headerBytes = filled;
        return true;
    }
}
