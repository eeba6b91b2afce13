using System.Globalization;
using System.Text;
using EdgeStream.Client;
using EdgeStream.Cluster.Tests.Engines;
using EdgeStream.Protocol.V1;
using EdgeStream.Testing;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Cluster.Tests.Client;

/// <summary>Records that find their partitions by themselves, and readers of all partitions.</summary>
public sealed class PartitionedProducerTests(NatsFixture nats)
{
    private const int Partitions = 4;

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Records_of_a_key_are_in_its_partition_in_their_order()
    {
        const int Keys = 40, PerKey = 25;
        await using InProcessNode node = await InProcessNode.StartAsync();
        await node.CreateTopicAsync("t", partitions: Partitions);
        List<SentRecord> sent = [];
        await using (PartitionedProducer producer = await node.Client.ProduceByKeyAsync("t"))
        {
            for (int i = 0; i < Keys * PerKey; i++)
                sent.Add(await producer.SendAsync(Of($"key {i % Keys}", i), Cancelled));
        }

        List<(int Partition, string Key, int Value)> read = await ReadAllAsync(node.Client);

        Assert.Equal(Enumerable.Range(0, Keys * PerKey), read.Select(record => record.Value).Order());
        Assert.Equal(Enumerable.Range(0, Partitions), read.Select(record => record.Partition).Distinct().Order());
        foreach (IGrouping<string, (int Partition, string Key, int Value)> ofKey in read.GroupBy(record => record.Key))
        {
            Assert.Equal(KeyPartitioner.IndexOf(Encoding.UTF8.GetBytes(ofKey.Key), Partitions), Assert.Single(ofKey.Select(record => record.Partition).Distinct()));
            Assert.Equal(ofKey.Select(record => record.Value).Order(), ofKey.Select(record => record.Value));
        }

        // What it says of each is where it is.
        foreach (IGrouping<int, SentRecord> inPartition in sent.GroupBy(record => record.Partition))
            Assert.Equal(Enumerable.Range(0, inPartition.Count()).Select(i => (long)i), await Task.WhenAll(inPartition.Select(record => record.Offset)).InTimeAsync());
    }

    [Fact]
    public async Task Records_without_a_key_go_to_the_partitions_in_turn_a_batch_each()
    {
        await using InProcessNode node = await InProcessNode.StartAsync();
        await node.CreateTopicAsync("t", partitions: Partitions);
        await using PartitionedProducer producer = await node.Client.ProduceByKeyAsync("t");
        List<int> partitions = [];
        for (int i = 0; i < 3 * Partitions; i++)
        {
            // Each is a batch, because it is acknowledged before the next one comes.
            SentRecord sent = await producer.SendAsync(Of(null, i), Cancelled);
            await sent.Offset.InTimeAsync();
            partitions.Add(sent.Partition);
        }

        Assert.Equal(Enumerable.Range(0, partitions.Count).Select(i => (partitions[0] + i) % Partitions), partitions);
    }

    [Fact]
    public async Task Partitions_of_a_cluster_are_written_and_read_wherever_they_are_led_and_move()
    {
        const int Records = 600;
        await using InProcessCluster cluster = await InProcessCluster.StartAsync(nats);
        await cluster.CreateTopicAsync("t", 1, 2, 1);
        using EdgeStreamClient client = cluster.Connect();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
        List<(int Partition, string Key, int Value)> read = [];
        Task reading = ReadAllAsync(client, read, stopAtEnd: false, stop.Token);
        await using (PartitionedProducer producer = await client.ProduceByKeyAsync("t"))
        {
            for (int i = 0; i < Records; i++)
            {
                if (i == Records / 2)
                    await cluster.MoveAsync("t", 0, to: 2);

                await producer.SendAsync(Of($"{i % 10}", i), Cancelled);
            }
        }

        await Eventually.HoldsAsync(() => reading.IsCompleted || Count() == Records, "all is read");
        await stop.CancelAsync();
        await reading.InTimeAsync();
        Assert.Equal(Enumerable.Range(0, Records), read.Select(record => record.Value).Order());
        Assert.All(read.GroupBy(record => record.Key), ofKey => Assert.Equal(ofKey.Select(record => record.Value).Order(), ofKey.Select(record => record.Value)));

        int Count()
        {
            lock (read)
                return read.Count;
        }
    }

    [Fact]
    public async Task Topic_of_geo_locations_has_no_partition_for_just_any_record()
    {
        await using InProcessNode node = await InProcessNode.StartAsync();
        await node.Client.CallAsync(client => client.ControlPlane.CreateTopicAsync(new CreateTopicRequest { Name = "m", Settings = new TopicSettings { Mirror = true } }));

        ClientException refused = await Assert.ThrowsAsync<ClientException>(() => node.Client.ProduceByKeyAsync("m"));
        Assert.Equal(ErrorCode.InvalidArgument, refused.Code);
        Assert.Equal(ErrorCode.TopicNotFound, (await Assert.ThrowsAsync<ClientException>(() => node.Client.ProduceByKeyAsync("none"))).Code);
        Assert.Equal(ErrorCode.TopicNotFound, (await Assert.ThrowsAsync<ClientException>(() => node.Client.ConsumeAllAsync(new ConsumeRequest { Topic = "none" }))).Code);
    }

    private static Record Of(string? key, int value) => new(
        0, 0, key is null ? default(ReadOnlyMemory<byte>?) : Encoding.UTF8.GetBytes(key), Encoding.ASCII.GetBytes(value.ToString(CultureInfo.InvariantCulture)), []);

    private static async Task<List<(int Partition, string Key, int Value)>> ReadAllAsync(EdgeStreamClient client)
    {
        List<(int Partition, string Key, int Value)> read = [];
        await ReadAllAsync(client, read, stopAtEnd: true, Cancelled).InTimeAsync();
        return read;
    }

    private static async Task ReadAllAsync(
        EdgeStreamClient client, List<(int Partition, string Key, int Value)> read, bool stopAtEnd, CancellationToken stop)
    {
        await using MergedConsumer consumer = await client.ConsumeAllAsync(new ConsumeRequest { Topic = "t", Beginning = true, StopAtEnd = stopAtEnd });
        try
        {
            await foreach (GroupRecord given in consumer.ReadAsync(stop))
            {
                lock (read)
                {
                    read.Add((
                        given.Partition, Encoding.UTF8.GetString(given.Record.Key!.Value.Span),
                        int.Parse(Encoding.ASCII.GetString(given.Record.Value!.Value.Span), CultureInfo.InvariantCulture)));
                }
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // That is how the test ends it.
        }
    }
}
