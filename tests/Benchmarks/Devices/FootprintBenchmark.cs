using System.Diagnostics;
using System.Globalization;
using System.Text;
using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Benchmarks.Devices;

/// <summary>
/// What it costs to have it on a small device: memory while idle and at 1,000 messages a second, processor time for a message, time to
/// start, size of the program.
/// </summary>
internal static class FootprintBenchmark
{
    private const int Starts = 5;
    private const int PerSecond = 1000;
    private const double MaxIdleWakeUps = 5;
    private const long BacklogBytes = 1L << 30;
    private const int BacklogValueSize = 1024;
    private static readonly TimeSpan IdleTime = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan LoadTime = TimeSpan.FromSeconds(20);
    private static readonly int Messages = (int)(PerSecond * LoadTime.TotalSeconds);
    private static readonly byte[] Reading = Encoding.ASCII.GetBytes("""{"ts":1764000000014,"temp":15.80,"hum":35.4,"bat":3.679,"rssi":-47,"ok":true}""");

    /// <param name="Ready">From the start to its word that it serves.</param>
    /// <param name="FirstStored">From the start to the first message that it has acknowledged.</param>
    /// <param name="IdleBytes">Resident.</param>
    /// <param name="IdleCpu">Of one processor.</param>
    /// <param name="IdleWakeUps">How often any of its threads woke up, in a second.</param>
    /// <param name="LoadBytes">Resident at the end of the load.</param>
    /// <param name="CpuPerThousand">User and kernel time.</param>
    private readonly record struct Footprint(
        TimeSpan Ready, TimeSpan FirstStored, long IdleBytes, double IdleCpu, double IdleWakeUps, long LoadBytes, TimeSpan CpuPerThousand);

    public static async Task RunAsync(Report report)
    {
        Footprint ours = await MeasureAsync(report, MqttServer.EdgeStream);
        await MeasureAsync(report, MqttServer.Mosquitto);
        await MeasureAsync(report, MqttServer.Nats);
        report.Goal("memory idle", ours.IdleBytes / 1048576.0, 30, "MiB", atMost: true);
        report.Goal("memory at 1,000 messages/s", ours.LoadBytes / 1048576.0, 45, "MiB", atMost: true);
        report.Goal("processor while idle, thousandths of a percent", ours.IdleCpu * 100_000, 200, "", atMost: true);
        report.Goal("wake-ups while idle", ours.IdleWakeUps, MaxIdleWakeUps, "/s", atMost: true);
        report.Goal("start to first stored reading", ours.FirstStored.TotalMilliseconds, 150, "ms", atMost: true);
    }

    /// <summary>The same with a backlog that no hub has: after a start, while messages come, and while somebody reads all of it.</summary>
    public static async Task RunWithBacklogAsync(Report report)
    {
        using MqttServer server = MqttServer.EdgeStream();
        await server.StartAsync();
        using (var filling = new EdgeStreamClient(new ClientOptions { Endpoint = "unix:" + server.Socket }))
            await ApiBenchmark.ProduceAsync(filling, "readings", Payload.OfSize(BacklogValueSize), (int)(BacklogBytes / BacklogValueSize));

        long filled = server.Usage.PeakBytes;
        await server.StopAsync();
        await server.StartAsync();
        await Task.Delay(IdleTime);
        ProcessUsage idle = server.Usage;
        using MqttPublisher device = await MqttPublisher.ConnectAsync(server.Port, "device");
        long loaded = await PeakAsync(server, PublishAsync(device));

        using var client = new EdgeStreamClient(new ClientOptions { Endpoint = "unix:" + server.Socket });
        long read = await PeakAsync(server, ReadAllAsync(client));
        long both = await PeakAsync(server, Task.WhenAll(PublishAsync(device), ReadAllAsync(client)));
        report.Note(
            $"| EdgeStream, 1 GiB stored | | | resident idle {Mebibytes(idle.ResidentBytes)} MiB, of which its own {Mebibytes(idle.OwnBytes)}; at {PerSecond}/s {Mebibytes(loaded)} MiB; while a consumer reads all {Mebibytes(read)} MiB; both {Mebibytes(both)} MiB; peak while it was filled {Mebibytes(filled)} MiB |");
        report.Goal("memory idle with 1 GiB stored", idle.ResidentBytes / 1048576.0, 30, "MiB", atMost: true);
        report.Goal("memory at 1,000 messages/s with 1 GiB stored", loaded / 1048576.0, 45, "MiB", atMost: true);
        report.Goal("memory at 1,000 messages/s while a consumer reads 1 GiB", both / 1048576.0, 64, "MiB", atMost: true);
    }

    /// <summary>The most that the server was resident with while something went on.</summary>
    private static async Task<long> PeakAsync(MqttServer server, Task work)
    {
        long peak = 0;
        while (!work.IsCompleted)
        {
            peak = Math.Max(peak, server.Usage.ResidentBytes);
            await Task.WhenAny(work, Task.Delay(TimeSpan.FromMilliseconds(100)));
        }

        await work;
        return peak;
    }

    private static async Task ReadAllAsync(EdgeStreamClient client)
    {
        using Consumer consumer = await client.ConsumeAsync(new ConsumeRequest { Topic = "readings", Beginning = true, StopAtEnd = true });
        long seen = 0;
        await foreach (Record record in consumer.ReadAsync())
            seen += record.Value?.Length ?? 0;

        if (seen < BacklogBytes)
            throw new InvalidOperationException($"{seen} bytes of {BacklogBytes} came");
    }

    /// <summary>Messages at <see cref="PerSecond"/> for <see cref="LoadTime"/>; all acknowledged in the end.</summary>
    private static async Task PublishAsync(MqttPublisher device)
    {
        long began = Stopwatch.GetTimestamp();
        for (int sent = 0; sent < Messages; sent += 10)
        {
            TimeSpan early = TimeSpan.FromSeconds((double)sent / PerSecond) - Stopwatch.GetElapsedTime(began);
            if (early > TimeSpan.Zero)
                await Task.Delay(early);

            await device.PublishAsync("sensors/kitchen/temperature", Reading, 10, 10);
        }
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
            await one.PublishAsync("sensors/first/temperature", Reading, 1, 1);
            first.Add(Stopwatch.GetElapsedTime(start));
        }

        await server.KeepReadingsAsync();
        ProcessUsage before = server.Usage;
        var wakeUps = ThreadWakeUps.Of(server.ProcessId);
        await Task.Delay(IdleTime);
        double perSecond = ThreadWakeUps.Of(server.ProcessId).Since(wakeUps).Sum(thread => thread.Count) / IdleTime.TotalSeconds;
        ProcessUsage idle = server.Usage;

        using MqttPublisher device = await MqttPublisher.ConnectAsync(server.Port, "device");
        await PublishAsync(device);
        ProcessUsage loaded = server.Usage;
        var result = new Footprint(
            Median(ready[1..]), Median(first[1..]), idle.ResidentBytes, (idle.Cpu - before.Cpu) / IdleTime, perSecond, loaded.ResidentBytes,
            (loaded.Cpu - idle.Cpu) * 1000 / Messages);
        report.Note(string.Create(
            CultureInfo.InvariantCulture,
            $"| {server.Name} | | | idle {Mebibytes(result.IdleBytes)} MiB, {result.IdleCpu:P2} of a processor, {perSecond:0.0} wake-ups/s; at {PerSecond}/s {Mebibytes(result.LoadBytes)} MiB (peak {Mebibytes(loaded.PeakBytes)}), {result.CpuPerThousand.TotalMilliseconds:0} ms of processor for 1,000 messages; ready after {result.Ready.TotalMilliseconds:0} ms, first reading stored after {result.FirstStored.TotalMilliseconds:0} ms; program {Mebibytes(server.ProgramBytes)} MiB |"));
        return result;
    }

    private static TimeSpan Median(List<TimeSpan> times) => times.Order().ElementAt(times.Count / 2);

    private static string Mebibytes(long bytes) => (bytes / 1048576.0).ToString("0.0", CultureInfo.InvariantCulture);
}
