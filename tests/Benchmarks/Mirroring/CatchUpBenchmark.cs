using System.Globalization;
using EdgeStream.Harness;

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

    private static async Task RunAsync(Report report, string what, Func<IEnumerable<Reading>> readings, bool isGoal)
    {
        long records = 0, payload = 0;
        foreach (Reading reading in readings())
            (records, payload) = (records + 1, payload + reading.PayloadBytes);

        List<(TimeSpan Time, long Wire)> ours = [], theirs = [];
        List<TimeSpan> tls = [], tlsAndDisk = [];
        for (int i = 0; i < Runs; i++)
        {
            ours.Add(await MeasureAsync(await EdgeStreamPair.StartAsync(), readings(), records));
            theirs.Add(await MeasureAsync(await NatsPair.StartAsync(), readings(), records));
            tls.Add(await PlainTls.MeasureAsync(ours[i].Wire));
            tlsAndDisk.Add(await PlainTls.MeasureAsync(ours[i].Wire, payload));
        }

        (TimeSpan time, long wire) = ours.Order().ElementAt(Runs / 2);
        (TimeSpan natsTime, long natsWire) = theirs.Order().ElementAt(Runs / 2);
        TimeSpan plain = tls.Order().ElementAt(Runs / 2), plainAndDisk = tlsAndDisk.Order().ElementAt(Runs / 2);
        report.Add($"catch-up, {what}: EdgeStream", records, payload, time);
        report.Add($"catch-up, {what}: NATS, nothing synced", records, payload, natsTime);
        report.Note(string.Create(
            CultureInfo.InvariantCulture,
            $"| the same {wire / 1e6:0.0} MB over plain TLS | | {payload / plain.TotalSeconds / 1e6:0.0} | {plain.TotalMilliseconds:0} ms; with write and fdatasync of the payload in commits of 1 MiB {plainAndDisk.TotalMilliseconds:0} ms; EdgeStream {time.TotalMilliseconds:0} ms |"));
        report.Note(string.Create(
            CultureInfo.InvariantCulture,
            $"| runs of {what} | | | EdgeStream {Seconds(ours.Select(run => run.Time))}; NATS {Seconds(theirs.Select(run => run.Time))}; plain TLS {Seconds(tls)}; with disk {Seconds(tlsAndDisk)} |"));
        report.Note(string.Create(
            CultureInfo.InvariantCulture, $"| wire bytes per payload byte, {what} | | | EdgeStream {(double)wire / payload:0.000}, NATS {(double)natsWire / payload:0.000} |"));
        if (!isGoal)
            return;

        report.Goal($"catch-up, {what}, of NATS", natsTime / time, 3, "×");
        report.Goal($"catch-up, {what}, of plain TLS with the same bytes", plain / time, 0.8, "%");
        report.Goal($"the same, of plain TLS whose receiver writes and syncs", plainAndDisk / time, 0.8, "%");
        report.Goal($"wire bytes of the payload, {what}", (double)wire / payload, 0.15, "%", atMost: true);
    }

    private static async Task<(TimeSpan Time, long Wire)> MeasureAsync(IMirrorPair pair, IEnumerable<Reading> readings, long records)
    {
        using (pair)
        {
            // Processes that have run for a while, as those are that an outage hits: the JIT's work is done.
            await pair.FillAsync(readings.Take((int)records / 2));
            await pair.ConnectAsync();
            await IsCopiedAsync(pair, records / 2);
            await pair.DisconnectAsync();
            await pair.FillAsync(readings);
            TimeSpan time = await Report.TimeAsync(async () =>
            {
                await pair.ConnectAsync();
                await IsCopiedAsync(pair, records + (records / 2));
            });
            return (time, pair.Traffic().Bytes);
        }
    }

    private static Task IsCopiedAsync(IMirrorPair pair, long records) =>
        Condition.WaitAsync(() => "the hub has the backlog", async () => await pair.CopiedAsync() == records, Deadline);

    private static string Seconds(IEnumerable<TimeSpan> times) =>
        string.Join(", ", times.Select(time => time.TotalSeconds.ToString("0.00", CultureInfo.InvariantCulture))) + " s";
}
