using System.Diagnostics;
using System.Globalization;
using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Harness.Cluster;
using EdgeStream.Harness.Network;
using EdgeStream.Protocol.V1;

namespace EdgeStream.ClusterFaults.Tests;

/// <summary>A cluster at work, to which things are done one after the other. What was measured goes to the table that <c>CLUSTER_FAULTS_TABLE</c> names.</summary>
internal sealed class FaultRun : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory;
    private readonly SwitchedNetwork? _network;
    private readonly Workload _workload;
    private readonly Random _random;

    private FaultRun(TemporaryDirectory directory, SwitchedNetwork? network, ClusterProcesses cluster, EdgeStreamClient admin, Workload workload, int seed)
    {
        (_directory, _network, Cluster, Admin, _workload) = (directory, network, cluster, admin, workload);
        _random = new Random(seed);
    }

    public ClusterProcesses Cluster { get; }

    public EdgeStreamClient Admin { get; }

    /// <param name="network">Whether each process is in a network of its own, which can be cut; needs root.</param>
    /// <param name="edges">How many edges mirror.</param>
    public static async Task<FaultRun> StartAsync(bool network = true, int edges = 2)
    {
        int seed = int.TryParse(Environment.GetEnvironmentVariable("EDGESTREAM_SEED"), CultureInfo.InvariantCulture, out int given) ? given : Random.Shared.Next();
        Say($"seed {seed} (EDGESTREAM_SEED)");
        var directory = new TemporaryDirectory();
        SwitchedNetwork? networks = null;
        ClusterProcesses? cluster = null;
        EdgeStreamClient? admin = null;
        try
        {
            networks = network ? new SwitchedNetwork() : null;
            cluster = new ClusterProcesses(directory.Path, networks);
            await cluster.StartAsync(new ClusterSize { Edges = edges });
            admin = cluster.Connect("admin");
            Workload workload = await Workload.StartAsync(cluster);
            var run = new FaultRun(directory, networks, cluster, admin, workload, seed);
            await workload.WaitForProgressAsync();
            await run.WaitUntilWellAsync();
            return run;
        }
        catch (Exception error)
        {
            string output = cluster?.Output() ?? "";
            admin?.Dispose();
            cluster?.Dispose();
            networks?.Dispose();
            directory.Dispose();
            throw new InvalidOperationException($"the cluster did not start: {error.Message}\n{output}", error);
        }
    }

    /// <summary>Does something, waits until all goes on, undoes it, and waits until all is well.</summary>
    public async Task BearAsync(string what, Func<Task> fault, Func<Task> mend, int records = 10)
    {
        try
        {
            Say(what);
            long from = Stopwatch.GetTimestamp();
            await fault();
            await _workload.WaitForProgressAsync(records);
            long mended = Stopwatch.GetTimestamp();
            await mend();
            await WaitUntilWellAsync();
            await _workload.WaitForProgressAsync();
            long to = Stopwatch.GetTimestamp();
            (TimeSpan writing, TimeSpan mirroring) = _workload.LongestSilence(from, mended);
            (TimeSpan writingAfter, TimeSpan mirroringAfter) = _workload.LongestSilence(mended, to);
            string row = string.Create(
                CultureInfo.InvariantCulture,
                $"| {what} | {writing.TotalSeconds:0.0} s | {mirroring.TotalSeconds:0.0} s | {writingAfter.TotalSeconds:0.0} s | {mirroringAfter.TotalSeconds:0.0} s |");
            Say(row);
            if (Environment.GetEnvironmentVariable("CLUSTER_FAULTS_TABLE") is { Length: > 0 } table)
                await File.AppendAllTextAsync(table, row + "\n");
        }
        catch (Exception error)
        {
            throw new InvalidOperationException($"{what}: {error.Message}\n{Cluster.Output()}", error);
        }
    }

    /// <summary>Ends the work and checks its history.</summary>
    public async Task CheckAsync()
    {
        await _workload.CheckAsync();
        Say($"{_workload.History.Complete[0].Count} records of {_workload.History.Sent.Count()} that were sent are there, each once; "
            + $"{_workload.History.Sent.Count(sent => sent.Offset is null)} were not acknowledged");
    }

    /// <summary>An SPU that leads partitions of the topic.</summary>
    public async Task<ClusterMember> LeadingSpuAsync()
    {
        int[] leading = [.. (await PartitionsAsync()).Select(partition => partition.LeaderSpu).Distinct().Order()];
        return Cluster[$"spu{leading[_random.Next(leading.Length)]}"];
    }

    /// <summary>The nats-server that leads the most streams of the topic.</summary>
    public async Task<ClusterMember> StreamLeaderAsync()
    {
        string? name = null;
        await Condition.WaitAsync(
            () => "streams have leaders",
            async () =>
            {
                name = (await Admin.ListPartitionsAsync(Workload.Topic)).SelectMany(status => status.Replicas).Where(replica => replica.Leader)
                    .GroupBy(replica => replica.Server).OrderByDescending(same => same.Count()).ThenBy(same => same.Key, StringComparer.Ordinal).FirstOrDefault()?.Key;
                return name is not null;
            });
        return Cluster[name!];
    }

    /// <summary>The nats-server that leads JetStream's own metadata.</summary>
    public async Task<ClusterMember> MetaLeaderAsync()
    {
        string? name = null;
        await Condition.WaitAsync(
            () => "JetStream has a leader", async () => (name = await Cluster.Nats.Servers[0].MetaLeaderAsync()) is { Length: > 0 });
        return Cluster[name!];
    }

    public async Task<ClusterMember> StandbyAsync()
    {
        ClusterMember active = await Cluster.ActiveControllerAsync();
        return Cluster[Cluster.Controllers.First(controller => controller.Name != active.Name).Name];
    }

    public async Task<IReadOnlyList<Partition>> PartitionsAsync()
    {
        IReadOnlyList<Partition> partitions = [];
        await ClusterProcesses.WaitUntilAsync(Admin, "the topology is known", topology =>
        {
            partitions = [.. topology.Topics.Where(topic => topic.Name == Workload.Topic).SelectMany(topic => topic.Partitions)];
            return partitions.Count == Workload.Partitions;
        });
        return partitions;
    }

    /// <summary>All are there, and each SPU has a share.</summary>
    public async Task WaitUntilWellAsync()
    {
        await Cluster.WaitUntilWellAsync(Admin);
        int spus = Cluster.Spus.Count(spu => !spu.Process.HasExited);
        await ClusterProcesses.WaitUntilAsync(Admin, "each SPU leads partitions", topology =>
            topology.Topics.SelectMany(topic => topic.Partitions).Select(partition => partition.LeaderSpu).Distinct().Count() == spus);
        await Cluster.WaitUntilWellAsync(Admin);
    }

    public async ValueTask DisposeAsync()
    {
        await _workload.DisposeAsync();
        Admin.Dispose();
        Cluster.Dispose();
        _network?.Dispose();
        _directory.Dispose();
    }

    private static void Say(string line)
    {
        TestContext.Current.SendDiagnosticMessage(line);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{DateTime.UtcNow:HH:mm:ss.f} {line}"));
    }
}
