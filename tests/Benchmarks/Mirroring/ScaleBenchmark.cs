using System.Diagnostics;
using System.Globalization;
using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Benchmarks.Mirroring;

/// <summary>
/// Many geo-locations that all come back at the same moment, after their hub was down, each with a small backlog; and the same
/// when they connect for the first time, which makes their partitions.
/// </summary>
internal static class ScaleBenchmark
{
    private const int Runs = 3;

    public static async Task RunAsync(Report report)
    {
        foreach (int count in new[] { 10, 100, 1000 })
            await RunAsync(report, count);
    }

    private static async Task RunAsync(Report report, int count)
    {
        using var directory = new TemporaryDirectory();
        string edgesDirectory = Directory.CreateDirectory(Path.Combine("/dev/shm", $"edgestream-{Guid.NewGuid():N}")).FullName;
        try
        {
            int port = FreePort.Take();
            using NodeProcess hub = NodeProcess.Hub(directory.Path, $"127.0.0.1:{port}");
            await hub.StartAsync();
            TimeSpan invited = await Report.TimeAsync(() => InviteAsync(hub, count, Path.Combine(edgesDirectory, "tokens")));
            var start = new ProcessStartInfo(Environment.ProcessPath!, [.. BacklogBenchmark.Host, SimulatedEdges.Command, $"127.0.0.1:{port}", edgesDirectory])
            {
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
            };
            using Process edges = Process.Start(start)!;
            TimeSpan joined = await AnswerAsync(edges);
            await TellAsync(edges, SimulatedEdges.Fill);
            (TimeSpan firstTime, ProcessUsage firstUsage, TimeSpan edgesCpu) = await ConnectAsync(edges, hub);
            report.Note(string.Create(
                CultureInfo.InvariantCulture,
                $"| {count:#,0} geo-locations connect for the first time | | | current after {firstTime.TotalSeconds:0.0} s; hub: {firstUsage.Cpu.TotalSeconds:0.0} s of CPU, peak {Mebibytes(firstUsage)} MiB; edges: {edgesCpu.TotalSeconds:0.0} s of CPU; before that {invited.TotalSeconds:0.0} s to invite them and {joined.TotalSeconds:0.0} s to join |"));

            List<(TimeSpan Time, ProcessUsage Hub, TimeSpan Edges)> runs = [];
            for (int i = 0; i < Runs; i++)
            {
                await TellAsync(edges, SimulatedEdges.Disconnect);
                await hub.Process.StopAsync();
                await TellAsync(edges, SimulatedEdges.Fill);
                await hub.StartAsync();
                runs.Add(await ConnectAsync(edges, hub));
            }

            (TimeSpan time, ProcessUsage usage, TimeSpan cpu) = runs.OrderBy(run => run.Time).ElementAt(Runs / 2);
            report.Note(string.Create(
                CultureInfo.InvariantCulture,
                $"| {count:#,0} geo-locations come back at once | | | current after {time.TotalSeconds:0.0} s; hub: {usage.Cpu.TotalSeconds:0.0} s of CPU, peak {Mebibytes(usage)} MiB; edges: {cpu.TotalSeconds:0.0} s of CPU |"));
            edges.StandardInput.Close();
            await edges.WaitForExitAsync();
        }
        finally
        {
            Directory.Delete(edgesDirectory, recursive: true);
        }
    }

    private static async Task InviteAsync(NodeProcess hub, int count, string path)
    {
        using EdgeStreamClient client = hub.Connect();
        var tokens = new List<string>();
        for (int i = 0; i < count; i++)
        {
            var request = new InviteGeoLocationRequest { Name = $"site-{i}" };
            tokens.Add((await client.CallAsync(c => c.ControlPlane.InviteGeoLocationAsync(request))).Token);
        }

        await File.WriteAllLinesAsync(path, tokens);
    }

    /// <summary>What it took the hub and the edges from the word to connect; the hub's peak is since its start.</summary>
    private static async Task<(TimeSpan Time, ProcessUsage Hub, TimeSpan Edges)> ConnectAsync(Process edges, NodeProcess hub)
    {
        ProcessUsage before = ProcessUsage.Of(hub.Process.Id), edgesBefore = ProcessUsage.Of(edges.Id);
        TimeSpan time = await TellAsync(edges, SimulatedEdges.Connect);
        ProcessUsage after = ProcessUsage.Of(hub.Process.Id);
        return (time, after with { Cpu = after.Cpu - before.Cpu }, ProcessUsage.Of(edges.Id).Cpu - edgesBefore.Cpu);
    }

    private static async Task<TimeSpan> TellAsync(Process edges, string word)
    {
        await edges.StandardInput.WriteLineAsync(word);
        await edges.StandardInput.FlushAsync();
        return await AnswerAsync(edges);
    }

    private static async Task<TimeSpan> AnswerAsync(Process edges)
    {
        string line = await edges.StandardOutput.ReadLineAsync() ?? throw new InvalidOperationException("the process of the simulated edges has ended");
        return TimeSpan.FromSeconds(double.Parse(line, CultureInfo.InvariantCulture));
    }

    private static string Mebibytes(ProcessUsage usage) => (usage.PeakBytes / (1024.0 * 1024)).ToString("0", CultureInfo.InvariantCulture);
}
