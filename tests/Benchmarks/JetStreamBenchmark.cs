using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;
using NATS.Client.Core;
using NATS.Client.JetStream;
using NATS.Client.JetStream.Models;

namespace EdgeStream.Benchmarks;

/// <summary>
/// Produce and consume through a hub whose records are in JetStream, beside NATS.Net that writes the same records, a message each, straight
/// to a stream with as many replicas on the same servers.
/// </summary>
internal static class JetStreamBenchmark
{
    private const int Runs = 3;

    // What NATS.Net has on its way: more gains nothing.
    private const int Unacknowledged = 1024;

    public static async Task RunAsync(Report report)
    {
        await RunAsync(report, replicas: 1);
        await RunAsync(report, replicas: 3);
    }

    private static async Task RunAsync(Report report, int replicas)
    {
        using var directory = new TemporaryDirectory();
        using var cluster = new NatsCluster(directory.Path);
        using var single = new NatsServer(directory.Path, "single");
        await (replicas > 1 ? cluster.StartAsync() : single.StartAsync());
        string[] servers = replicas > 1 ? [.. cluster.Urls] : [single.Url];
        using NodeProcess hub = NodeProcess.Hub(directory.Path, "127.0.0.1:0", configuration: $"""
            [storage]
            engine = "jetstream"
            nats = [{string.Join(", ", servers.Select(server => $"\"{server}\""))}]
            replicas = {replicas}
            """);
        await hub.StartAsync();
        using EdgeStreamClient client = hub.Connect();
        await using var connection = new NatsConnection(new NatsOpts { Url = string.Join(',', servers), RequestTimeout = TimeSpan.FromSeconds(30) });
        var jetStream = new NatsJSContext(connection);
        await CompareAsync(report, hub, client, jetStream, replicas, "100 B", valueSize: 100, records: 100_000);
        await CompareAsync(report, hub, client, jetStream, replicas, "64 KiB", valueSize: 64 * 1024, records: 2_000);
    }

    private static async Task CompareAsync(
        Report report, NodeProcess hub, EdgeStreamClient client, NatsJSContext jetStream, int replicas, string size, int valueSize, int records)
    {
        ReadOnlyMemory<byte> value = Payload.OfSize(valueSize);
        long bytes = (long)records * valueSize;
        string name = $"r{replicas}-{valueSize}";
        int run = 0, other = 0;

        // Not counted: where the programs are compiled as they run, records of another size run other code.
        await ProduceAsync();
        await ProduceDirectlyAsync();
        (TimeSpan ours, TimeSpan theirs) = await Report.MedianPairAsync(Runs, ProduceAsync, ProduceDirectlyAsync);
        report.Add($"produce {size}, {replicas} replica(s)", records, bytes, ours, "NATS.Net, a message each", theirs);
        Aim("produce", ours, theirs);

        (ours, theirs) = await Report.MedianPairAsync(
            Runs,
            () => Report.TimeAsync(async () =>
            {
                using Consumer consumer = await client.ConsumeAsync(new ConsumeRequest { Topic = $"bench-{name}-0", Beginning = true, StopAtEnd = true });
                int seen = 0;
                await foreach (Record _ in consumer.ReadAsync())
                    seen++;

                if (seen != records)
                    throw new InvalidOperationException($"{seen} of {records} records came");
            }),
            () => Report.TimeAsync(() => ReadAsync(jetStream, $"direct-{name}-0", records)));
        report.Add($"consume {size}, {replicas} replica(s)", records, bytes, ours, "NATS.Net, ordered consumer", theirs);
        Aim("consume", ours, theirs);

        async Task<TimeSpan> ProduceAsync()
        {
            string topic = $"bench-{name}-{run++}";
            await CreateAsync(hub, topic);
            return await Report.TimeAsync(() => ApiBenchmark.ProduceAsync(client, topic, value, records));
        }

        async Task<TimeSpan> ProduceDirectlyAsync()
        {
            string stream = $"direct-{name}-{other++}";
            await jetStream.CreateStreamAsync(new StreamConfig(stream, [stream]) { NumReplicas = replicas });
            return await Report.TimeAsync(() => PublishAsync(jetStream, stream, value, records));
        }

        // Small records gain by going together; large ones must not lose by the hub in between.
        void Aim(string what, TimeSpan hubs, TimeSpan nats) =>
            report.Goal($"{what} {size}, {replicas} replica(s), of NATS.Net", nats / hubs, valueSize < 1024 ? 2 : 0.9, "×");
    }

    private static async Task CreateAsync(NodeProcess hub, string topic)
    {
        string problem = "";
        await Condition.WaitAsync(
            () => $"topic {topic} can be made: {problem}",
            async () =>
            {
                (int exitCode, _, problem) = await EdgeStreamProgram.RunAsync(["topic", "create", topic, "--socket", hub.Socket]);
                return exitCode == 0;
            });
    }

    private static async Task PublishAsync(NatsJSContext jetStream, string subject, ReadOnlyMemory<byte> value, int records)
    {
        var onTheWay = new Queue<NatsJSPublishConcurrentFuture>(Unacknowledged);
        for (int i = 0; i < records; i++)
        {
            onTheWay.Enqueue(await jetStream.PublishConcurrentAsync(subject, value, NatsRawSerializer<ReadOnlyMemory<byte>>.Default));
            if (onTheWay.Count == Unacknowledged)
                await AcknowledgedAsync(onTheWay.Dequeue());
        }

        while (onTheWay.TryDequeue(out NatsJSPublishConcurrentFuture one))
            await AcknowledgedAsync(one);
    }

    private static async Task AcknowledgedAsync(NatsJSPublishConcurrentFuture future)
    {
        await using (future)
            (await future.GetResponseAsync()).EnsureSuccess();
    }

    private static async Task ReadAsync(NatsJSContext jetStream, string stream, int records)
    {
        INatsJSConsumer consumer = await jetStream.CreateOrderedConsumerAsync(stream);
        int seen = 0;
        await foreach (INatsJSMsg<NatsMemoryOwner<byte>> message in consumer.ConsumeAsync(NatsRawSerializer<NatsMemoryOwner<byte>>.Default))
        {
            message.Data.Dispose();
            if (++seen == records)
                break;
        }
    }
}
