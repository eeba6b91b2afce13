using System.Buffers;
using System.Buffers.Binary;
using System.Net;
using System.Security.Cryptography.X509Certificates;
using MQTTnet.Channel;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>
/// Sends a device's PUBACKs together where several are due: a sync settles many messages at once, and each packet of four bytes would else
/// be one of the network's, both ways. Everything goes out in the order of the calls; what is no PUBACK goes at once, with those before it.
/// </summary>
/// <remarks>
/// Where the connection ends before they are sent, the device sends its messages again, as it does where a packet is lost.
/// </remarks>
internal sealed class AcknowledgementGathering(IMqttChannel inner) : IMqttChannel
{
    private const byte PubAck = 0x40;
    private const int HeaderBytes = 2, IdentifierBytes = 2;

    // A device that does not read its acknowledgements is not read from any more.
    private const int MaxGatheredBytes = 16 * 1024;

    private readonly SemaphoreSlim _writing = new(1);
    private readonly Lock _lock = new();
    private ArrayBufferWriter<byte> _gathered = new(64);
    private ArrayBufferWriter<byte> _sending = new(64);
    private bool _isDue;
    private bool _inPacket;

    public X509Certificate2 ClientCertificate => inner.ClientCertificate;

    public EndPoint RemoteEndPoint => inner.RemoteEndPoint;

    public EndPoint LocalEndPoint => inner.LocalEndPoint;

    public bool IsSecureConnection => inner.IsSecureConnection;

    public Task ConnectAsync(CancellationToken cancellationToken) => inner.ConnectAsync(cancellationToken);

    public Task DisconnectAsync(CancellationToken cancellationToken) => inner.DisconnectAsync(cancellationToken);

    public Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        inner.ReadAsync(buffer, offset, count, cancellationToken);

    /// <summary>MQTTnet writes one packet after the other.</summary>
    public Task WriteAsync(ReadOnlySequence<byte> buffer, bool isEndOfPacket, CancellationToken cancellationToken) =>
        SendAsync(buffer, isEndOfPacket, cancellationToken);

    /// <summary>
    /// Gathers the acknowledgement of a message. The caller flushes before it waits for anything else. Completes at once unless the device
    /// does not read its acknowledgements.
    /// </summary>
    /// <param name="packetIdentifier">The message's.</param>
    /// <param name="code">What there is to say about it; only MQTT 5 has others than success.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public ValueTask AcknowledgeAsync(ushort packetIdentifier, MqttPubAckReasonCode code, CancellationToken cancellationToken)
    {
        // The code may be left out where it is success (MQTT 5, section 3.4.2.1).
        int length = code == MqttPubAckReasonCode.Success ? IdentifierBytes : IdentifierBytes + 1;
        bool isFull;
        lock (_lock)
        {
            Span<byte> packet = _gathered.GetSpan(HeaderBytes + length);
            (packet[0], packet[1]) = (PubAck, (byte)length);
            BinaryPrimitives.WriteUInt16BigEndian(packet[HeaderBytes..], packetIdentifier);
            if (length > IdentifierBytes)
                packet[HeaderBytes + IdentifierBytes] = (byte)code;

            _gathered.Advance(HeaderBytes + length);
            isFull = _gathered.WrittenCount >= MaxGatheredBytes;
        }

        return isFull ? new ValueTask(FlushAsync(cancellationToken)) : ValueTask.CompletedTask;
    }

    /// <summary>Sends what is gathered, behind what else is about to happen: more may be gathered by then.</summary>
    public void FlushSoon()
    {
        lock (_lock)
        {
            if (_isDue || _gathered.WrittenCount == 0)
                return;

            _isDue = true;
        }

        ThreadPool.UnsafeQueueUserWorkItem(channel => _ = channel.SendGatheredAsync(), this, preferLocal: false);
    }

    /// <summary>Sends what is gathered.</summary>
    public Task FlushAsync(CancellationToken cancellationToken) => SendAsync(default, isEndOfPacket: true, cancellationToken);

    public void Dispose()
    {
        inner.Dispose();
        _writing.Dispose();
    }

    private async Task SendGatheredAsync()
    {
        try
        {
            await FlushAsync(CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception)
        {
            // The connection is at its end, which its reader sees.
        }
    }

    private async Task SendAsync(ReadOnlySequence<byte> packet, bool isEndOfPacket, CancellationToken cancellationToken)
    {
        await _writing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            await SendWaitingAsync(cancellationToken).ConfigureAwait(false);
            if (packet.IsEmpty)
                return;

            await inner.WriteAsync(packet, isEndOfPacket, cancellationToken).ConfigureAwait(false);
            bool begun = _inPacket;
            _inPacket = !isEndOfPacket;

            // What has been gathered during a packet of several parts could not be sent between them.
            if (begun)
                await SendWaitingAsync(cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _writing.Release();
        }
    }

    private async ValueTask SendWaitingAsync(CancellationToken cancellationToken)
    {
        if (_inPacket)
            return;

        lock (_lock)
        {
            (_sending, _gathered) = (_gathered, _sending);
            _isDue = false;
        }

        if (_sending.WrittenCount == 0)
            return;

        await inner.WriteAsync(new ReadOnlySequence<byte>(_sending.WrittenMemory), true, cancellationToken).ConfigureAwait(false);
        _sending.ResetWrittenCount();
    }
}
