using System.Collections.Immutable;
using System.Diagnostics;
using EdgeStream.Cluster.Engines.JetStream;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Harness;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Benchmarks;

/// <summary>How long it takes an SPU to open what another led that is gone: three servers, three replicas, all on this machine.</summary>
internal static class TakeoverBenchmark
{
    public static async Task RunAsync(Report report)
    {
        await RunAsync(report, partitions: 100);
        await RunAsync(report, partitions: 1000);
    }

    private static async Task RunAsync(Report report, int partitions)
    {
        using var directory = new TemporaryDirectory();
        using var cluster = new NatsCluster(directory.Path);
        await cluster.StartAsync();
        await using LocalSpu first = Spu(1), second = Spu(2);
        TimeSpan made = await Report.TimeAsync(() => OpenAllAsync(first, Topology(leader: 1, epoch: 1)));
        await Task.WhenAll(first.Partitions.Select(partition => partition.Log.AppendAsync(Batches.Of("a"), AckLevel.Durable).AsTask()));
        TimeSpan taken = await Report.TimeAsync(() => OpenAllAsync(second, Topology(leader: 2, epoch: 2)));
        if (second.Partitions.Any(partition => partition.Log.Offsets.End != 1))
            throw new InvalidOperationException("a record is missing");

        // As `partition list` asks.
        TimeSpan listed = await Report.TimeAsync(() => Parallel.ForEachAsync(
            second.Partitions, new ParallelOptions { MaxDegreeOfParallelism = 64 }, async (partition, stop) => await partition.Log.FindReplicasAsync(stop)));
        report.Note(
            $"{partitions} partitions, 3 replicas: made in {made.TotalSeconds:0.0} s, taken over in {taken.TotalSeconds:0.00} s, replicas listed in {listed.TotalSeconds:0.00} s");

        LocalSpu Spu(int id)
        {
            string data = directory.At($"spu-{id}");
            Directory.CreateDirectory(data);
            return new LocalSpu(
                id, new JetStreamEngine(data, new JetStreamOptions(cluster.Urls) { AnswerTimeout = TimeSpan.FromSeconds(10) }, NullLogger.Instance),
                NullLogger<LocalSpu>.Instance, isHub: true);
        }

        TopologyMap Topology(int leader, long epoch)
        {
            var topic = new TopicInfo(
                "t", new TopicSettings { Replicas = 3 }, [.. Enumerable.Range(0, partitions).Select(number => new PartitionInfo(number, leader, LeaderEpoch: epoch))]);
            return new TopologyMap(
                "0123456789abcdef", [], ImmutableSortedDictionary<string, GeoLocationInfo>.Empty,
                ImmutableSortedDictionary<string, TopicInfo>.Empty.Add(topic.Name, topic));
        }
    }

    private static async Task OpenAllAsync(LocalSpu spu, TopologyMap topology)
    {
        await spu.StartAsync(topology);
        long since = Stopwatch.GetTimestamp();
        while (spu.HasClosed)
        {
            if (Stopwatch.GetElapsedTime(since) > TimeSpan.FromMinutes(5))
                throw new TimeoutException(spu.Partitions.First(partition => !partition.IsOpen).Problem);

            await spu.ReopenAsync(topology);
        }
    }
}
