using EdgeStream.Benchmarks;
using EdgeStream.Benchmarks.Devices;
using EdgeStream.Benchmarks.Mirroring;

if (args is [BacklogProcess.Command, var directory, var mode])
{
    await BacklogProcess.RunAsync(directory, mode);
    return;
}

if (args is [SimulatedEdges.Command, var hub, var edges])
{
    await SimulatedEdges.RunAsync(hub, edges);
    return;
}

// Speeds on one machine in one run. Each figure is the median of its runs, and stands beside a limit of the same machine:
// ratios say more than numbers do.
Console.WriteLine($"{Environment.ProcessorCount} cores, {Environment.OSVersion}, .NET {Environment.Version}, data in {Path.GetTempPath()}");
Console.WriteLine();
var report = new Report();
if (args.Length == 0 || args.Contains("append"))
    await AppendBenchmark.RunAsync(report);

if (args.Length == 0 || args.Contains("read"))
    await ReadBenchmark.RunAsync(report);

if (args.Length == 0 || args.Contains("databases"))
    await DatabaseBenchmark.RunAsync(report);

if (args.Length == 0 || args.Contains("wear"))
    await WearBenchmark.RunAsync(report);

if (args.Length == 0 || args.Contains("backlog"))
    await BacklogBenchmark.RunAsync(report);

if (args.Length == 0 || args.Contains("api"))
    await ApiBenchmark.RunAsync(report);

if (args.Length == 0 || args.Contains("jetstream"))
    await JetStreamBenchmark.RunAsync(report);

if (args.Length == 0 || args.Contains("takeover"))
    await TakeoverBenchmark.RunAsync(report);

if (args.Length == 0 || args.Contains("partitions"))
    await PartitionsBenchmark.RunAsync(report);

if (args.Length == 0 || args.Contains("catch-up"))
    await CatchUpBenchmark.RunAsync(report);

if (args.Length == 0 || args.Contains("slow-link"))
    await CatchUpBenchmark.RunOverSlowLinkAsync(report);

if (args.Length == 0 || args.Contains("live"))
    await WireBenchmark.RunLiveAsync(report);

if (args.Length == 0 || args.Contains("idle"))
    await WireBenchmark.RunIdleAsync(report);

if (args.Length == 0 || args.Contains("delay"))
    await DelayBenchmark.RunAsync(report);

if (args.Length == 0 || args.Contains("scale"))
    await ScaleBenchmark.RunAsync(report);

if (args.Length == 0 || args.Contains("ingest"))
    await IngestBenchmark.RunAsync(report);

if (args.Length == 0 || args.Contains("footprint"))
{
    await FootprintBenchmark.RunAsync(report);
    await FootprintBenchmark.RunWithBacklogAsync(report);
}

report.Print();
