using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using MQTTnet;
using MQTTnet.Packets;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>
/// Retained messages as they stand on the disk: magic, version, number, the messages one after the other, and CRC-32C of it all. Of an
/// expiry interval there stands what is left of it: the time that a node is off is not known, and does not count.
/// </summary>
internal static class RetainedFile
{
    private const uint Magic = 0x4D525345; // "ESRM"
    private const byte Version = 1;

    // That there are no more, and the checksum.
    private const int EndBytes = 1 + Crc32C.Size;

    /// <param name="messages">In the order in which they matter, should there be no room for all.</param>
    /// <param name="now">Of the clock that they expire by.</param>
    /// <param name="maxBytes">No more than this is written.</param>
    /// <param name="leftOut">How many there was no room for.</param>
    public static byte[] Write(IEnumerable<RoutedMessage> messages, TimeSpan now, int maxBytes, out int leftOut)
    {
        using var bytes = new MemoryStream();
        using var writer = new BinaryWriter(bytes, Encoding.UTF8);
        writer.Write(Magic);
        writer.Write(Version);
        leftOut = 0;
        foreach (RoutedMessage message in messages)
        {
            long begin = bytes.Length;
            Write(writer, message, now);
            if (bytes.Length <= maxBytes - EndBytes)
                continue;

            bytes.SetLength(begin);
            leftOut++;
        }

        writer.Write(false);
        writer.Write(Crc32C.Of(bytes.GetBuffer().AsSpan(0, (int)bytes.Length)));
        return bytes.ToArray();
    }

    /// <exception cref="InvalidDataException">It is damaged, or of a later version.</exception>
    public static IReadOnlyList<MqttApplicationMessage> Read(byte[] contents)
    {
        int length = contents.Length - Crc32C.Size;
        if (length <= 0 || Crc32C.Of(contents.AsSpan(0, length)) != BinaryPrimitives.ReadUInt32LittleEndian(contents.AsSpan(length)))
            throw new InvalidDataException("its checksum is wrong");

        using var reader = new BinaryReader(new MemoryStream(contents, 0, length), Encoding.UTF8);
        if (reader.ReadUInt32() != Magic || reader.ReadByte() != Version)
            throw new InvalidDataException("it is of another version");

        List<MqttApplicationMessage> messages = [];
        while (reader.ReadBoolean())
            messages.Add(ReadMessage(reader));

        return messages;
    }

    private static void Write(BinaryWriter writer, RoutedMessage message, TimeSpan now)
    {
        writer.Write(true);
        writer.Write(message.Topic);
        writer.Write((byte)message.Quality);
        writer.Write(message.RemainingSeconds(now));
        writer.Write((byte)message.Format);
        writer.Write(message.ContentType ?? "");
        writer.Write(message.ResponseTopic ?? "");
        Write(writer, message.CorrelationData ?? []);
        writer.Write(message.UserProperties?.Count ?? 0);
        foreach (MqttUserProperty property in message.UserProperties ?? [])
        {
            writer.Write(property.Name);
            Write(writer, property.ValueBuffer.Span);
        }

        Write(writer, message.Payload);
    }

    private static MqttApplicationMessage ReadMessage(BinaryReader reader)
    {
        var message = new MqttApplicationMessage
        {
            Topic = reader.ReadString(),
            Retain = true,
            QualityOfServiceLevel = (MqttQualityOfServiceLevel)reader.ReadByte(),
            MessageExpiryInterval = reader.ReadUInt32(),
            PayloadFormatIndicator = (MqttPayloadFormatIndicator)reader.ReadByte(),
            ContentType = reader.ReadString() is { Length: > 0 } type ? type : null,
            ResponseTopic = reader.ReadString() is { Length: > 0 } topic ? topic : null,
            CorrelationData = ReadBytes(reader) is { Length: > 0 } data ? data : null,
        };
        int properties = reader.ReadInt32();
        if (properties > 0)
            message.UserProperties = [.. Enumerable.Range(0, properties).Select(_ => new MqttUserProperty(reader.ReadString(), ReadBytes(reader)))];

        message.Payload = new ReadOnlySequence<byte>(ReadBytes(reader));
        return message;
    }

    private static void Write(BinaryWriter writer, ReadOnlySpan<byte> bytes)
    {
        writer.Write(bytes.Length);
        writer.Write(bytes);
    }

    private static byte[] ReadBytes(BinaryReader reader) => reader.ReadBytes(reader.ReadInt32());
}
