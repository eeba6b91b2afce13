using System.Buffers;
using System.Net;
using System.Security.Cryptography.X509Certificates;
using MQTTnet.Channel;

namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>
/// Sends a device's acknowledgements together where several are due: a sync settles many messages at once, and each packet of four bytes
/// would else be one of the network's, both ways. Everything goes out in the order of the calls; what is no acknowledgement goes at once,
/// with those before it.
/// </summary>
/// <remarks>
/// An acknowledgement's write completes when it is gathered. Where the connection ends before it is sent, the device sends its message
/// again, as it does where a packet is lost.
/// </remarks>
internal sealed class AcknowledgementGathering(IMqttChannel inner) : IMqttChannel
{
    private const byte PubAck = 0x40, PubRec = 0x50, PubComp = 0x70, TypeMask = 0xF0;

    // A device that does not read its acknowledgements is not read from any more.
    private const int MaxGatheredBytes = 16 * 1024;

    private readonly SemaphoreSlim _writing = new(1);
    private readonly Lock _lock = new();
    private ArrayBufferWriter<byte> _gathered = new(64);
    private ArrayBufferWriter<byte> _sending = new(64);
    private bool _isDue;
    private bool _inPacket;

    /// <summary>Whether another acknowledgement is sure to come behind that of a packet identifier, so that this one may wait for it.</summary>
    public Func<ushort, bool> AnotherFollows { get; set; } = _ => false;

    public X509Certificate2 ClientCertificate => inner.ClientCertificate;

    public EndPoint RemoteEndPoint => inner.RemoteEndPoint;

    public EndPoint LocalEndPoint => inner.LocalEndPoint;

    public bool IsSecureConnection => inner.IsSecureConnection;

    public Task ConnectAsync(CancellationToken cancellationToken) => inner.ConnectAsync(cancellationToken);

    public Task DisconnectAsync(CancellationToken cancellationToken) => inner.DisconnectAsync(cancellationToken);

    public Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        inner.ReadAsync(buffer, offset, count, cancellationToken);

    /// <summary>MQTTnet writes one packet after the other.</summary>
    public Task WriteAsync(ReadOnlySequence<byte> buffer, bool isEndOfPacket, CancellationToken cancellationToken)
    {
        bool mayWait = !_inPacket && isEndOfPacket && (buffer.FirstSpan[0] & TypeMask) is PubAck or PubRec or PubComp;
        _inPacket = !isEndOfPacket;
        return mayWait && TryGather(buffer) ? Task.CompletedTask : SendAsync(buffer, isEndOfPacket, cancellationToken);
    }

    /// <summary>Sends what is gathered.</summary>
    public Task FlushAsync(CancellationToken cancellationToken) => SendAsync(default, isEndOfPacket: true, cancellationToken);

    public void Dispose()
    {
        inner.Dispose();
        _writing.Dispose();
    }

    private bool TryGather(in ReadOnlySequence<byte> acknowledgement)
    {
        lock (_lock)
        {
            if (_gathered.WrittenCount + acknowledgement.Length > MaxGatheredBytes)
                return false;

            foreach (ReadOnlyMemory<byte> part in acknowledgement)
                _gathered.Write(part.Span);

            if (!_isDue && AnotherFollows(IdentifierOf(acknowledgement)))
                return true;

            if (!_isDue)
                _ = ThreadPool.UnsafeQueueUserWorkItem(channel => _ = channel.SendGatheredAsync(), this, preferLocal: false);

            _isDue = true;
            return true;
        }
    }

    private static ushort IdentifierOf(in ReadOnlySequence<byte> acknowledgement)
    {
        // Behind the header, the length of seven bits a byte.
        var reader = new SequenceReader<byte>(acknowledgement.Slice(1));
        while (reader.TryRead(out byte length) && (length & 0x80) != 0)
        {
        }

        return reader.TryReadBigEndian(out short identifier) ? (ushort)identifier : (ushort)0;
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
            lock (_lock)
            {
                (_sending, _gathered) = (_gathered, _sending);
                _isDue = false;
            }

            if (_sending.WrittenCount > 0)
            {
                await inner.WriteAsync(new ReadOnlySequence<byte>(_sending.WrittenMemory), true, cancellationToken).ConfigureAwait(false);
                _sending.ResetWrittenCount();
            }

            if (!packet.IsEmpty)
                await inner.WriteAsync(packet, isEndOfPacket, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _writing.Release();
        }
    }
}
