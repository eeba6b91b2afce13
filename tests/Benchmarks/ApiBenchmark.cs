using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Benchmarks;

/// <summary>Produce and consume through the gRPC API: an edge as its own process, this one as its client on the local socket.</summary>
internal static class ApiBenchmark
{
    private const int Runs = 3;

    public static async Task RunAsync(Report report)
    {
        await RunAsync(report, "100 B", valueSize: 100, records: 500_000);
        await RunAsync(report, "1 KiB", valueSize: 1024, records: 100_000);
    }

    /// <summary>Appends records and waits until all are durable.</summary>
    public static async Task ProduceAsync(EdgeStreamClient client, string topic, ReadOnlyMemory<byte> value, int records)
    {
        await using Producer producer = await client.ProduceAsync(topic);
        Task<long> last = Task.FromResult(0L);
        for (int i = 0; i < records; i++)
            last = await producer.SendAsync(Payload.Record(value, i));

        await last;
    }

    private static async Task RunAsync(Report report, string size, int valueSize, int records)
    {
        using var directory = new TemporaryDirectory();
        using NodeProcess edge = NodeProcess.Edge(directory.Path, "");
        await edge.StartAsync();
        using EdgeStreamClient client = edge.Connect();
        ReadOnlyMemory<byte> value = Payload.OfSize(valueSize);
        long bytes = (long)records * valueSize;
        int run = 0;
        TimeSpan produce = await Report.MedianAsync(Runs, async () =>
        {
            string topic = $"bench-{run++}";
            await edge.CommandAsync("topic", "create", topic);
            return await Report.TimeAsync(() => ProduceAsync(client, topic, value, records));
        });
        report.Add($"produce {size} by gRPC, durable", records, bytes, produce);

        TimeSpan consume = await Report.MedianAsync(Runs, () => Report.TimeAsync(async () =>
        {
            using Consumer consumer = await client.ConsumeAsync(new ConsumeRequest { Topic = "bench-0", Beginning = true, StopAtEnd = true });
            int seen = 0;
            await foreach (Record _ in consumer.ReadAsync())
                seen++;

            if (seen != records)
                throw new InvalidOperationException($"{seen} of {records} records came");
        }));
        report.Add($"consume {size} by gRPC", records, bytes, consume);
    }
}
