using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text;

namespace EdgeStream.Storage.Tests.Records.GoldenBatches;

/// <summary>
/// Speaks just enough of Kafka's protocol (https://kafka.apache.org/protocol) to put a batch into a partition and to get
/// it out as bytes, which no client library offers: Produce version 3 and Fetch version 4.
/// </summary>
internal sealed class RawKafkaConnection((string Host, int Port) broker) : IDisposable
{
    private const short ProduceKey = 0;
    private const short FetchKey = 1;
    private const int TimeoutMs = 20_000;

    private readonly TcpClient _client = new(broker.Host, broker.Port) { ReceiveTimeout = TimeoutMs };

    public void Produce(string topic, ReadOnlySpan<byte> batch)
    {
        var body = new MemoryStream();
        WriteInt16(body, -1); // no transaction
        WriteInt16(body, 1); // acks
        WriteInt32(body, TimeoutMs);
        WriteInt32(body, 1); // topics
        WriteString(body, topic);
        WriteInt32(body, 1); // partitions
        WriteInt32(body, 0);
        WriteInt32(body, batch.Length);
        body.Write(batch);

        ReadOnlySpan<byte> response = Call(ProduceKey, 3, body);
        int error = BinaryPrimitives.ReadInt16BigEndian(response[(PartitionsStart(topic, 0) + 4)..]);
        Assert.Equal(0, error);
    }

    /// <summary>The first batches of partition 0.</summary>
    public byte[] Fetch(string topic)
    {
        var body = new MemoryStream();
        WriteInt32(body, -1); // no replica
        WriteInt32(body, TimeoutMs);
        WriteInt32(body, 1); // least bytes
        WriteInt32(body, int.MaxValue); // most bytes
        body.WriteByte(0); // isolation level
        WriteInt32(body, 1); // topics
        WriteString(body, topic);
        WriteInt32(body, 1); // partitions
        WriteInt32(body, 0);
        WriteInt32(body, 0); // offset, its upper half
        WriteInt32(body, 0);
        WriteInt32(body, int.MaxValue);

        ReadOnlySpan<byte> partition = Call(FetchKey, 4, body)[PartitionsStart(topic, throttleSize: 4)..];
        Assert.Equal(0, BinaryPrimitives.ReadInt16BigEndian(partition[4..]));
        // Partition, error, high watermark, last stable offset, no aborted transactions.
        ReadOnlySpan<byte> records = partition[(4 + 2 + 8 + 8 + 4)..];
        return records.Slice(4, BinaryPrimitives.ReadInt32BigEndian(records)).ToArray();
    }

    public void Dispose() => _client.Dispose();

    private static int PartitionsStart(string topic, int throttleSize) => throttleSize + 4 + 2 + topic.Length + 4;

    private ReadOnlySpan<byte> Call(short key, short version, MemoryStream body)
    {
        var request = new MemoryStream();
        WriteInt16(request, key);
        WriteInt16(request, version);
        WriteInt32(request, 1); // correlation id
        WriteString(request, "edgestream-tests");
        body.WriteTo(request);

        NetworkStream stream = _client.GetStream();
        byte[] size = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(size, (int)request.Length);
        stream.Write(size);
        request.WriteTo(stream);

        stream.ReadExactly(size);
        byte[] response = new byte[BinaryPrimitives.ReadInt32BigEndian(size)];
        stream.ReadExactly(response);
        return response.AsSpan(4); // past the correlation id
    }

    private static void WriteInt16(MemoryStream stream, short value)
    {
        Span<byte> bytes = stackalloc byte[2];
        BinaryPrimitives.WriteInt16BigEndian(bytes, value);
        stream.Write(bytes);
    }

    private static void WriteInt32(MemoryStream stream, int value)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(bytes, value);
        stream.Write(bytes);
    }

    private static void WriteString(MemoryStream stream, string text)
    {
        WriteInt16(stream, (short)text.Length);
        stream.Write(Encoding.ASCII.GetBytes(text));
    }
}
