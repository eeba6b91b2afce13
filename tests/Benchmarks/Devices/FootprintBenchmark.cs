using System.Diagnostics;
using System.Globalization;
using System.Text;
using EdgeStream.Harness;

namespace EdgeStream.Benchmarks.Devices;

/// <summary>
/// What it costs to have it on a small device: memory while idle and at 1,000 messages a second, processor time for a message, time to
/// start, size of the program.
/// </summary>
internal static class FootprintBenchmark
{
    private const int Starts = 5;
    private const int PerSecond = 1000;
    private static readonly TimeSpan IdleTime = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan LoadTime = TimeSpan.FromSeconds(20);
    private static readonly byte[] Payload = Encoding.ASCII.GetBytes("""{"ts":1764000000014,"temp":15.80,"hum":35.4,"bat":3.679,"rssi":-47,"ok":true}""");

    /// <param name="Ready">From the start to its word that it serves.</param>
    /// <param name="FirstStored">From the start to the first message that it has acknowledged.</param>
    /// <param name="IdleBytes">Resident.</param>
    /// <param name="IdleCpu">Of one processor.</param>
    /// <param name="LoadBytes">Resident at the end of the load.</param>
    /// <param name="CpuPerThousand">User and kernel time.</param>
    private readonly record struct Footprint(TimeSpan Ready, TimeSpan FirstStored, long IdleBytes, double IdleCpu, long LoadBytes, TimeSpan CpuPerThousand);

    public static async Task RunAsync(Report report)
    {
        Footprint ours = await MeasureAsync(report, MqttServer.EdgeStream);
        await MeasureAsync(report, MqttServer.Mosquitto);
        await MeasureAsync(report, MqttServer.Nats);
        report.Goal("memory idle", ours.IdleBytes / 1048576.0, 30, "MiB", atMost: true);
        report.Goal("memory at 1,000 messages/s", ours.LoadBytes / 1048576.0, 45, "MiB", atMost: true);
        report.Goal("processor while idle, thousandths of a percent", ours.IdleCpu * 100_000, 200, "", atMost: true);
        report.Goal("start to first stored reading", ours.FirstStored.TotalMilliseconds, 150, "ms", atMost: true);
    }

    private static async Task<Footprint> MeasureAsync(Report report, Func<MqttServer> create)
    {
        List<TimeSpan> ready = [], first = [];
        using MqttServer server = create();
        for (int i = 0; i < Starts; i++)
        {
            // Not the first one, which makes the data directory.
            if (i > 0)
                await server.StopAsync();

            long start = Stopwatch.GetTimestamp();
            ready.Add(await server.StartAsync());
            using MqttPublisher one = await MqttPublisher.ConnectAsync(server.Port, "first");
            await one.PublishAsync("sensors/first/temperature", Payload, 1, 1);
            first.Add(Stopwatch.GetElapsedTime(start));
        }

        await server.KeepReadingsAsync();
        ProcessUsage before = server.Usage;
        await Task.Delay(IdleTime);
        ProcessUsage idle = server.Usage;

        using MqttPublisher device = await MqttPublisher.ConnectAsync(server.Port, "device");
        int count = (int)(PerSecond * LoadTime.TotalSeconds);
        long began = Stopwatch.GetTimestamp();
        for (int sent = 0; sent < count; sent += 10)
        {
            TimeSpan early = TimeSpan.FromSeconds((double)sent / PerSecond) - Stopwatch.GetElapsedTime(began);
            if (early > TimeSpan.Zero)
                await Task.Delay(early);

            await device.PublishAsync("sensors/kitchen/temperature", Payload, 10, 10);
        }

        ProcessUsage loaded = server.Usage;
        var result = new Footprint(
            Median(ready[1..]), Median(first[1..]), idle.ResidentBytes, (idle.Cpu - before.Cpu) / IdleTime, loaded.ResidentBytes,
            (loaded.Cpu - idle.Cpu) * 1000 / count);
        report.Note(string.Create(
            CultureInfo.InvariantCulture,
            $"| {server.Name} | | | idle {Mebibytes(result.IdleBytes)} MiB, {result.IdleCpu:P2} of a processor; at {PerSecond}/s {Mebibytes(result.LoadBytes)} MiB (peak {Mebibytes(loaded.PeakBytes)}), {result.CpuPerThousand.TotalMilliseconds:0} ms of processor for 1,000 messages; ready after {result.Ready.TotalMilliseconds:0} ms, first reading stored after {result.FirstStored.TotalMilliseconds:0} ms; program {Mebibytes(server.ProgramBytes)} MiB |"));
        return result;
    }

    private static TimeSpan Median(List<TimeSpan> times) => times.Order().ElementAt(times.Count / 2);

    private static string Mebibytes(long bytes) => (bytes / 1048576.0).ToString("0.0", CultureInfo.InvariantCulture);
}
