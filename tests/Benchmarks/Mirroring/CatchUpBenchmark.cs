using System.Globalization;
using EdgeStream.Harness;
using EdgeStream.Harness.Network;

namespace EdgeStream.Benchmarks.Mirroring;

/// <summary>
/// Catch-up after an outage: an edge with a backlog is connected to its hub again; how long until the hub has all of it, and what went over the wire.
/// Beside it nats-server, and plain TLS with as many bytes as EdgeStream put on the wire.
/// </summary>
internal static class CatchUpBenchmark
{
    private const int Runs = 3;
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(5);

    public static async Task RunAsync(Report report)
    {
        await RunAsync(report, "1,000,000 readings of 100 B, JSON", () => SensorReadings.OfSensors(1_000_000), isGoal: true);
        await RunAsync(report, "100,000 readings of 1 KiB, JSON", () => SensorReadings.OfGateways(100_000), isGoal: true);
        await RunAsync(report, "100,000 readings of 1 KiB that do not compress", () => SensorReadings.Incompressible(100_000, 1024), isGoal: false);
    }

    /// <summary>The same over a link as edges have them, where bytes are what is short. Needs root.</summary>
    public static async Task RunOverSlowLinkAsync(Report report)
    {
        foreach (LinkShape link in (LinkShape[])[new(2_000_000, TimeSpan.FromMilliseconds(50)), new(200_000, TimeSpan.FromMilliseconds(100))])
        {
            // A quarter of a minute or two of it.
            int count = (int)(link.BitsPerSecond / 10);
            await RunOverAsync(report, link, $"{count:n0} readings of 100 B, JSON", () => SensorReadings.OfSensors(count));
            await RunOverAsync(report, link, $"{count / 10:n0} readings of 1 KiB, JSON", () => SensorReadings.OfGateways(count / 10));
        }
    }

    private static async Task RunOverAsync(Report report, LinkShape link, string what, Func<IEnumerable<Reading>> readings)
    {
        long records = readings().LongCount(), payload = readings().Sum(reading => (long)reading.PayloadBytes);
        Run run = await MeasureAsync(await EdgeStreamPair.StartAsync(link: link), readings(), records);
        what = string.Create(CultureInfo.InvariantCulture, $"{what}, over {link.BitsPerSecond / 1e6:0.0} Mbit/s, {link.RoundTrip.TotalMilliseconds:0} ms");
        report.Add($"catch-up, {what}", records, payload, run.Time);
        report.Note(string.Create(
            CultureInfo.InvariantCulture,
            $"| {(double)run.Wire / payload:0.000} wire bytes per payload byte, {what} | | | of the link {run.Wire * 8 / run.Time.TotalSeconds / link.BitsPerSecond:p0} (without the headers of TCP and IP); CPU of the edge {run.EdgeCpu.TotalSeconds:0.00} s |"));
        report.Goal($"wire bytes of the payload, {what}", (double)run.Wire / payload, 0.15, "%", atMost: true);
    }

    /// <param name="Time">From the word to connect to the last reading at the hub.</param>
    /// <param name="Wire">Bytes on the wire, both ways.</param>
    /// <param name="EdgeCpu">What the edge's process computed for it.</param>
    /// <param name="HubCpu">What the hub's did.</param>
    private readonly record struct Run(TimeSpan Time, long Wire, TimeSpan EdgeCpu, TimeSpan HubCpu);

    private static async Task RunAsync(Report report, string what, Func<IEnumerable<Reading>> readings, bool isGoal)
    {
        long records = 0, payload = 0;
        foreach (Reading reading in readings())
            (records, payload) = (records + 1, payload + reading.PayloadBytes);

        List<Run> ours = [], theirs = [];
        List<TimeSpan> tls = [], tlsAndDisk = [];
        for (int i = 0; i < Runs; i++)
        {
            ours.Add(await MeasureAsync(await EdgeStreamPair.StartAsync(), readings(), records));
            theirs.Add(await MeasureAsync(await NatsPair.StartAsync(), readings(), records));
            tls.Add(await PlainTls.MeasureAsync(ours[i].Wire));
            tlsAndDisk.Add(await PlainTls.MeasureAsync(ours[i].Wire, payload));
        }

        Run us = ours.OrderBy(run => run.Time).ElementAt(Runs / 2), nats = theirs.OrderBy(run => run.Time).ElementAt(Runs / 2);
        TimeSpan plain = tls.Order().ElementAt(Runs / 2), plainAndDisk = tlsAndDisk.Order().ElementAt(Runs / 2);
        report.Add($"catch-up, {what}: EdgeStream", records, payload, us.Time);
        report.Add($"catch-up, {what}: NATS, nothing synced", records, payload, nats.Time);
        report.Note(string.Create(
            CultureInfo.InvariantCulture,
            $"| the same {us.Wire / 1e6:0.0} MB over plain TLS | | {payload / plain.TotalSeconds / 1e6:0.0} | {plain.TotalMilliseconds:0} ms; with write and fdatasync of the payload in commits of 1 MiB {plainAndDisk.TotalMilliseconds:0} ms; EdgeStream {us.Time.TotalMilliseconds:0} ms |"));
        report.Note(string.Create(
            CultureInfo.InvariantCulture,
            $"| runs of {what} | | | EdgeStream {Seconds(ours.Select(run => run.Time))}; NATS {Seconds(theirs.Select(run => run.Time))}; plain TLS {Seconds(tls)}; with disk {Seconds(tlsAndDisk)} |"));
        report.Note(string.Create(
            CultureInfo.InvariantCulture, $"| wire bytes per payload byte, {what} | | | EdgeStream {(double)us.Wire / payload:0.000}, NATS {(double)nats.Wire / payload:0.000} |"));
        report.Note(string.Create(
            CultureInfo.InvariantCulture,
            $"| CPU of edge and hub, {what} | | | EdgeStream {us.EdgeCpu.TotalSeconds:0.00} and {us.HubCpu.TotalSeconds:0.00} s, NATS {nats.EdgeCpu.TotalSeconds:0.00} and {nats.HubCpu.TotalSeconds:0.00} s |"));
        if (!isGoal)
            return;

        report.Goal($"catch-up, {what}, of NATS", nats.Time / us.Time, 3, "×");
        report.Goal($"catch-up, {what}, of plain TLS with the same bytes", plain / us.Time, 0.8, "%");
        report.Goal($"the same, of plain TLS whose receiver writes and syncs", plainAndDisk / us.Time, 0.8, "%");
        report.Goal($"wire bytes of the payload, {what}", (double)us.Wire / payload, 0.15, "%", atMost: true);
    }

    private static async Task<Run> MeasureAsync(IMirrorPair pair, IEnumerable<Reading> readings, long records)
    {
        using (pair)
        {
            // Processes that have run for a while, as those are that an outage hits: the JIT's work is done.
            await pair.FillAsync(readings.Take((int)records / 2));
            await pair.ConnectAsync();
            await IsCopiedAsync(pair, records / 2);
            await pair.DisconnectAsync();
            await pair.FillAsync(readings);
            (ProcessUsage edge, ProcessUsage hub) = pair.Usage();
            TimeSpan time = await Report.TimeAsync(async () =>
            {
                await pair.ConnectAsync();
                await IsCopiedAsync(pair, records + (records / 2));
            });
            (ProcessUsage edgeAfter, ProcessUsage hubAfter) = pair.Usage();
            return new Run(time, pair.Traffic().Bytes, edgeAfter.Cpu - edge.Cpu, hubAfter.Cpu - hub.Cpu);
        }
    }

    private static Task IsCopiedAsync(IMirrorPair pair, long records) =>
        Condition.WaitAsync(() => "the hub has the backlog", async () => await pair.CopiedAsync() == records, Deadline);

    private static string Seconds(IEnumerable<TimeSpan> times) =>
        string.Join(", ", times.Select(time => time.TotalSeconds.ToString("0.00", CultureInfo.InvariantCulture))) + " s";
}
