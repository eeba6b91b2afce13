using System.Diagnostics;
using System.Globalization;
using System.Text;
using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Harness.Cluster;
using EdgeStream.Protocol.V1;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.ClusterDemo;

/// <summary>
/// A data center's cluster on this machine, each part its own process, two edges that mirror to it and a producer. Ends with an audit: what the
/// producer saw acknowledged, and what the edges hold, is in the cluster.
/// </summary>
/// <param name="duration">How long the producer runs; null until Ctrl-C.</param>
internal sealed class ClusterShow(TimeSpan? duration)
{
    private const string Orders = "orders";
    private const int Partitions = 6;
    private static readonly ClusterSize Size = new() { Edges = 2 };
    private static readonly TimeSpan Refresh = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(20);

    // By partition.
    private readonly long[] _acknowledged = new long[Partitions];
    private readonly Stopwatch _elapsed = new();

    public async Task<int> RunAsync()
    {
        using var directory = new TemporaryDirectory();
        using var interrupted = new CancellationTokenSource();
        Console.CancelKeyPress += (_, key) =>
        {
            key.Cancel = true;
            interrupted.Cancel();
        };

        Console.WriteLine($"data in {directory.Path} (removed at the end)");
        using var cluster = new ClusterProcesses(directory.Path);
        Step("start three nats-servers, two SCs, three SPUs, two edges", "edgestream sc, edgestream spu, edgestream run");
        await cluster.StartAsync(Size);
        Step("make a topic, three replicas of each record", $"edgestream topic create {Orders} --partitions {Partitions}");
        await cluster.CommandAsync("topic", "create", Orders, "--partitions", $"{Partitions}");
        Step("start producers at the cluster and at the edges", "50 records a second for each partition");
        using EdgeStreamClient client = cluster.Connect("admin");
        EdgeStreamClient[] edges = [.. cluster.Edges.Select(edge => edge.Connect())];
        try
        {
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(interrupted.Token);
            Task[] producers =
            [
                .. Enumerable.Range(0, Partitions).Select(partition => ProduceAsync(client, Orders, partition, stop.Token)),
                .. edges.Select(edge => ProduceAsync(edge, ClusterProcesses.MirrorTopic, null, stop.Token)),
            ];
            await cluster.WaitUntilWellAsync(client);
            Console.WriteLine();
            Console.WriteLine(await cluster.CommandAsync("topology"));
            Invite(cluster);
            await WatchAsync(client, edges, interrupted.Token);
            await stop.CancelAsync();
            await Task.WhenAll(producers);
            return await AuditAsync(client, edges) ? 0 : 1;
        }
        finally
        {
            foreach (EdgeStreamClient edge in edges)
                edge.Dispose();
        }
    }

    private static void Step(string what, string how) => Console.WriteLine($"  {what,-62} {how}");

    private void Invite(ClusterProcesses cluster)
    {
        static string Quote(string text) => text.Contains(' ', StringComparison.Ordinal) ? $"'{text}'" : text;
        Console.WriteLine();
        Console.WriteLine("In another terminal:");
        Console.WriteLine();
        Console.WriteLine($"    es() {{ {Quote(EdgeStreamProgram.Path)} \"$@\" {string.Join(' ', cluster.ConnectArguments().Select(Quote))}; }}");
        Console.WriteLine("    es spu list");
        Console.WriteLine($"    es partition list --topic {Orders}");
        Console.WriteLine($"    es consume {ClusterProcesses.MirrorTopic} --geo edge1 -n 3");
        Console.WriteLine($"    es consume {Orders} --group me -n 10");
        Console.WriteLine($"    kill -9 {cluster["spu1"].Process.Id}      # an SPU: others lead its partitions within seconds; watch the rate");
        Console.WriteLine($"    kill -9 {cluster["sc1"].Process.Id}      # an SC: the other takes over, and nobody who writes notices");
        Console.WriteLine($"    kill -9 {cluster["n2"].Process.Id}      # a nats-server: two of three replicas go on");
        Console.WriteLine();
        Console.WriteLine(duration is null ? "Ctrl-C ends it." : $"It ends by itself after {duration.Value.TotalSeconds:0} s.");
        Console.WriteLine();
    }

    /// <summary>Until it is told to stop; whatever is acknowledged counts.</summary>
    private async Task ProduceAsync(EdgeStreamClient client, string topic, int? partition, CancellationToken stop)
    {
        await using Producer producer = await client.ProduceAsync(topic, partition ?? 0);
        using var timer = new PeriodicTimer(Interval);
        List<Task> waiting = [];
        try
        {
            for (int i = 0; await timer.WaitForNextTickAsync(stop); i++)
            {
                var record = new Record(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), null, Encoding.ASCII.GetBytes($"{topic} {i}"));
                Task<long> acknowledged = await producer.SendAsync(record, stop);
                waiting.RemoveAll(task => task.IsCompletedSuccessfully);
                waiting.Add(CountAsync(acknowledged, partition));
            }
        }
        catch (OperationCanceledException)
        {
            // Asked to end.
        }

        await producer.DisposeAsync();
        await Task.WhenAll(waiting);
    }

    private async Task CountAsync(Task<long> acknowledged, int? partition)
    {
        await acknowledged;
        if (partition is { } number)
            Interlocked.Increment(ref _acknowledged[number]);
    }

    private async Task WatchAsync(EdgeStreamClient client, EdgeStreamClient[] edges, CancellationToken interrupted)
    {
        using var timer = new PeriodicTimer(Refresh);
        _elapsed.Start();
        (TimeSpan at, long total) = (TimeSpan.Zero, Total());
        try
        {
            while (_elapsed.Elapsed < (duration ?? TimeSpan.MaxValue) && await timer.WaitForNextTickAsync(interrupted))
            {
                (TimeSpan before, long totalBefore) = (at, total);
                (at, total) = (_elapsed.Elapsed, Total());
                double rate = (total - totalBefore) / (at - before).TotalSeconds;
                string spus;
                try
                {
                    Topology topology = await client.GetTopologyAsync().WaitAsync(Refresh, interrupted);
                    spus = string.Join("  ", topology.Spus.OrderBy(spu => spu.Id).Select(spu =>
                        $"spu{spu.Id} {(spu.Online ? $"leads {topology.Topics.SelectMany(topic => topic.Partitions).Count(one => one.LeaderSpu == spu.Id)}" : "is away")}"));
                }
                catch (Exception error) when (error is ClientException or TimeoutException)
                {
                    spus = "no SC answers";
                }

                List<string> behind = [];
                foreach (EdgeStreamClient edge in edges)
                    behind.Add(await BehindAsync(edge));

                Console.WriteLine(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{at.TotalSeconds,5:0} s  {rate,5:0} records/s acknowledged ({total} so far)  {spus}  edges behind {string.Join('/', behind)}"));
            }
        }
        catch (OperationCanceledException)
        {
            // Ctrl-C.
        }
    }

    private long Total() => _acknowledged.Sum();

    private static async Task<string> BehindAsync(EdgeStreamClient edge)
    {
        try
        {
            PartitionStatus status = (await edge.ListPartitionsAsync(ClusterProcesses.MirrorTopic)).Single();
            return (status.Durable - status.Mirrored).ToString(CultureInfo.InvariantCulture);
        }
        catch (ClientException)
        {
            return "away";
        }
    }

    private async Task<bool> AuditAsync(EdgeStreamClient client, EdgeStreamClient[] edges)
    {
        Console.WriteLine();
        Console.WriteLine("the producers have ended; waiting until the cluster has everything");
        long stored = 0;
        for (int partition = 0; partition < Partitions; partition++)
        {
            using Consumer consumer = await client.ConsumeAsync(
                new ConsumeRequest { Topic = Orders, Partition = partition, Beginning = true, StopAtEnd = true });
            await foreach (Record _ in consumer.ReadAsync())
                stored++;
        }

        bool good = stored == Total();
        Console.WriteLine($"{Orders,-9} acknowledged {Total()}, stored {stored}: {(good ? "each once" : "THEY DIFFER")}");
        Topology topology = await client.GetTopologyAsync();
        for (int i = 0; i < edges.Length; i++)
        {
            int partition = topology.Topics.Single(topic => topic.Name == ClusterProcesses.MirrorTopic).Partitions
                .Single(one => one.GeoLocation == $"edge{i + 1}").Partition_;
            MirrorAudit? audit = null;
            try
            {
                await Condition.WaitAsync(
                    () => $"the cluster has all of edge{i + 1}: {audit?.Difference}",
                    async () => (audit = await MirrorAudit.RunAsync(edges[i], client, ClusterProcesses.MirrorTopic, partition)).Difference is null);
            }
            catch (TimeoutException late)
            {
                Console.WriteLine(late.Message);
            }

            good &= audit?.Difference is null;
            Console.WriteLine($"edge{i + 1,-5} mirrored {audit?.Records}, compared offset by offset, byte by byte: {audit?.Difference ?? "equal"}");
        }

        Console.WriteLine(good ? "nothing is missing" : "SOMETHING IS MISSING");
        return good;
    }
}
