using Confluent.Kafka;
using EdgeStream.Storage.Records;

namespace EdgeStream.Storage.Tests.Records.GoldenBatches;

/// <summary>
/// A broker inside this process: librdkafka's mock cluster, which lives as long as the producer that was configured with
/// it and keeps batches as they came, apart from the base offset.
/// </summary>
internal sealed class MockKafka : IDisposable
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(20);

    private readonly IProducer<byte[]?, byte[]?> _producer;

    public MockKafka(CompressionCodec codec)
    {
        var config = new ProducerConfig
        {
            CompressionType = Enum.Parse<CompressionType>(codec.ToString()),
            // One batch for all: it is closed by the flush, not by the clock.
            LingerMs = 10_000,
        };
        config.Set("test.mock.num.brokers", "1");
        _producer = new ProducerBuilder<byte[]?, byte[]?>(config).SetLogHandler((_, _) => { }).Build();
    }

    /// <summary>Creates the topic, if need be, with the mock's usual partitions; the address of the broker.</summary>
    public (string Host, int Port) CreateTopic(string topic)
    {
        using IAdminClient admin = new DependentAdminClientBuilder(_producer.Handle).Build();
        BrokerMetadata broker = admin.GetMetadata(topic, Timeout).Brokers.Single();
        return (broker.Host, broker.Port);
    }

    /// <summary>Sends the records with librdkafka's producer, as one batch, to partition 0.</summary>
    public void Produce(string topic, IEnumerable<Record> records)
    {
        foreach (Record record in records)
        {
            var message = new Message<byte[]?, byte[]?>
            {
                Key = record.Key?.ToArray(),
                Value = record.Value?.ToArray(),
                Timestamp = new Timestamp(record.Timestamp, TimestampType.CreateTime),
                Headers = [.. record.Headers.Select(h => new Header(h.Key, h.Value?.ToArray()))],
            };
            _producer.Produce(new TopicPartition(topic, 0), message);
        }

        Assert.Equal(0, _producer.Flush(Timeout));
    }

    /// <summary>Reads partition 0 from its start with librdkafka's consumer, which checks the checksums too.</summary>
    public static List<Record> Consume((string Host, int Port) broker, string topic, int count)
    {
        var config = new ConsumerConfig
        {
            BootstrapServers = $"{broker.Host}:{broker.Port}",
            GroupId = "none",
            EnableAutoCommit = false,
            CheckCrcs = true,
        };
        using var consumer = new ConsumerBuilder<byte[]?, byte[]?>(config).Build();
        consumer.Assign(new TopicPartitionOffset(topic, 0, 0));

        var records = new List<Record>();
        while (records.Count < count)
        {
            ConsumeResult<byte[]?, byte[]?> result = consumer.Consume(Timeout)
                ?? throw new TimeoutException($"{records.Count} of {count} records arrived.");
            Message<byte[]?, byte[]?> message = result.Message;
            records.Add(new Record(
                result.Offset,
                message.Timestamp.UnixTimestampMs,
                SampleBatches.Memory(message.Key),
                SampleBatches.Memory(message.Value),
                [.. message.Headers.Select(h => new RecordHeader(h.Key, SampleBatches.Memory(h.GetValueBytes())))]));
        }

        consumer.Close();
        return records;
    }

    public void Dispose() => _producer.Dispose();
}
