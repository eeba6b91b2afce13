using System.Globalization;
using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Harness.Cluster;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Benchmarks;

/// <summary>
/// The same records through a whole cluster (three nats-servers, an SC, an SPU, all on this machine) into one partition, a hundred and a
/// thousand, three replicas each, a producer for each partition: what partitions cost.
/// </summary>
internal static class PartitionsBenchmark
{
    private const int Records = 200_000;
    private const int ValueBytes = 100;

    // Consumers that read at once; each reads its partitions one after the other.
    private const int Readers = 8;

    private static readonly TimeSpan MakingTakes = TimeSpan.FromMinutes(5);

    public static async Task RunAsync(Report report)
    {
        report.Note("| partitions | made in | produced, records/s | consumed, records/s | SPU, resident | SC | nats-servers, together |");
        foreach (int partitions in (int[])[1, 100, 1000])
            report.Note(await RunAsync(partitions));
    }

    private static async Task<string> RunAsync(int partitions)
    {
        using var directory = new TemporaryDirectory();
        using var cluster = new ClusterProcesses(directory.Path);
        await cluster.StartAsync(new ClusterSize { Controllers = 1, Spus = 1 });
        using EdgeStreamClient client = cluster.Connect("admin");
        TimeSpan made = await Report.TimeAsync(() => MakeAsync(client, partitions));
        ReadOnlyMemory<byte> value = Payload.OfSize(ValueBytes);
        int each = Records / partitions;
        TimeSpan produced = await Report.TimeAsync(() => Task.WhenAll(Enumerable.Range(0, partitions).Select(number => ProduceAsync(client, number, value, each))));
        TimeSpan consumed = await Report.TimeAsync(() => Task.WhenAll(Enumerable.Range(0, Math.Min(Readers, partitions)).Select(async reader =>
        {
            for (int number = reader; number < partitions; number += Readers)
                await ConsumeAsync(client, number, each);
        })));
        return string.Create(
            CultureInfo.InvariantCulture,
            $"| {partitions} | {made.TotalSeconds:0.0} s | {Records / produced.TotalSeconds:#,0} | {Records / consumed.TotalSeconds:#,0} | "
            + $"{MiB(cluster["spu1"].Process.Id)} MiB | {MiB(cluster["sc1"].Process.Id)} MiB | {cluster.Nats.Servers.Sum(server => MiB(server.Process.Id))} MiB |");
    }

    /// <summary>Done when each can be written.</summary>
    private static async Task MakeAsync(EdgeStreamClient client, int partitions)
    {
        await client.CallAsync(node => node.ControlPlane.CreateTopicAsync(
            new CreateTopicRequest { Name = "t", Partitions = partitions, Settings = new TopicSettings { Replicas = 3 } },
            deadline: DateTime.UtcNow + MakingTakes));
        await Condition.WaitAsync(
            () => $"{partitions} partitions are served",
            async () => await IsServedAsync(client, partitions),
            MakingTakes);
    }

    private static async Task<bool> IsServedAsync(EdgeStreamClient client, int partitions)
    {
        try
        {
            IReadOnlyList<PartitionStatus> all = await client.ListPartitionsAsync("t");
            return all.Count == partitions && all.All(status => status.Problem.Length == 0);
        }
        catch (ClientException notYet) when (notYet.Code == ErrorCode.TopicNotFound)
        {
            // The SPU still opens what it was told of.
            return false;
        }
    }

    private static async Task ProduceAsync(EdgeStreamClient client, int partition, ReadOnlyMemory<byte> value, int count)
    {
        await using Producer producer = await client.ProduceAsync("t", partition);
        Task<long> last = Task.FromResult(0L);
        for (int i = 0; i < count; i++)
            last = await producer.SendAsync(new Record(i, null, value));

        await last;
    }

    private static async Task ConsumeAsync(EdgeStreamClient client, int partition, int count)
    {
        using Consumer consumer = await client.ConsumeAsync(new ConsumeRequest { Topic = "t", Partition = partition, Beginning = true, StopAtEnd = true });
        long read = 0;
        await foreach (Record _ in consumer.ReadAsync())
            read++;

        if (read != count)
            throw new InvalidOperationException($"partition {partition} has {read} records, not {count}");
    }

    private static long MiB(int process) => ProcessUsage.Of(process).ResidentBytes / (1024 * 1024);
}
