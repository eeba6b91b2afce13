namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>Follows a stream of MQTT packets by their headers ([MQTT-2.2.3]: type, then a length of seven bits a byte).</summary>
internal sealed class PacketBounds(int maxPacketBytes)
{
    private const int MaxLengthBytes = 4;
    private const byte Connect = 0x10;

    private long _bodyLeft;
    private long _length;
    private int _lengthBytes;
    private bool _inLength;
    private bool _hasBegun;

    /// <exception cref="PacketTooLargeException">A packet begins that is larger than allowed.</exception>
    /// <exception cref="InvalidDataException">It does not begin with CONNECT ([MQTT-3.1.0-1]), or a length has no end.</exception>
    public void Follow(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            if (_bodyLeft > 0)
            {
                int skipped = (int)Math.Min(_bodyLeft, bytes.Length);
                _bodyLeft -= skipped;
                bytes = bytes[skipped..];
                continue;
            }

            if (_inLength)
                AddLength(bytes[0]);
            else
                Begin(bytes[0]);

            bytes = bytes[1..];
        }
    }

    private void Begin(byte header)
    {
        // Said at once, and not when all has come that such a header announces.
        if (!_hasBegun && header != Connect)
            throw new InvalidDataException("it does not speak MQTT");

        _hasBegun = true;
        (_inLength, _length, _lengthBytes) = (true, 0, 0);
    }

    private void AddLength(byte part)
    {
        _length |= (long)(part & 0x7F) << (7 * _lengthBytes++);
        if ((part & 0x80) != 0)
        {
            if (_lengthBytes == MaxLengthBytes)
                throw new InvalidDataException("the length of a packet is not one of MQTT");

            return;
        }

        if (_length > maxPacketBytes)
            throw new PacketTooLargeException(_length, maxPacketBytes);

        (_inLength, _bodyLeft) = (false, _length);
    }
}
