using EdgeStream.Benchmarks;

if (args is [BacklogProcess.Command, var directory, var mode])
{
    await BacklogProcess.RunAsync(directory, mode);
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

if (args.Length == 0 || args.Contains("mirror"))
    await MirrorBenchmark.RunAsync(report);

report.Print();
