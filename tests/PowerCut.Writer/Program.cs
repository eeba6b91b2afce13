using EdgeStream.PowerCut.Writer;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;

// Writes a log under load until it is killed, and reports what the log acknowledged. A program of its own, so that it dies with
// all that it has open. The log of the tests' own process would survive the power cut.
WriterOptions options = WriterOptions.Parse(args);
var report = new Report(Console.OpenStandardOutput());
report.Line(Report.Ready);
if (Console.In.ReadLine() is null)
    return 1;

// Whoever started it may be killed too; nothing must go on writing then.
var watch = new Thread(() =>
{
    Console.In.ReadLine();
    Environment.Exit(1);
})
{ IsBackground = true };
watch.Start();

// On the pool, like everything that comes after: where the pool has one thread, all system calls of the log are made by it.
return await Task.Run(WriteAsync);

async Task<int> WriteAsync()
{
    try
    {
        report.Line(Report.Opening);
        PartitionLog log = PartitionLog.Open(
            options.Directory, () => PartitionManifest.CreateNew("power", 0, new Dictionary<string, string>()), options.ToLogOptions(),
            settings: WriterOptions.Settings);
        report.Line(Report.Opened);
        await Task.WhenAll(Enumerable.Range(0, options.Producers).Select(number => new Producer(log, report, options, number).RunAsync()));
        await log.DisposeAsync();
        report.Line(Report.Done);
        return 0;
    }
    catch (Exception error) when (error is IOException or UnauthorizedAccessException or EdgeStreamException)
    {
        report.Line($"{Report.Failed} {error.Message.ReplaceLineEndings(" ")}");
        return 2;
    }
}
