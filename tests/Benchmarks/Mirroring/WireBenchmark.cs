using System.Globalization;
using EdgeStream.Harness;

namespace EdgeStream.Benchmarks.Mirroring;

/// <summary>What a link costs while readings come one by one, and while none come: bytes on the wire, both ways.</summary>
internal static class WireBenchmark
{
    private const string Linger = """
        [uplink]
        linger = "1s"
        """;

    private const string OftenAlive = """
        [uplink]
        keep-alive = "5s"
        """;

    private static readonly TimeSpan Settle = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Day = TimeSpan.FromDays(1);

    /// <summary>Readings of 100 B at several rates; three minutes, all rates at once.</summary>
    public static async Task RunLiveAsync(Report report)
    {
        var cases = from kind in new (string Name, Func<Task<IMirrorPair>> Start)[]
                    {
                        ("EdgeStream", () => EdgeStreamPair.StartAsync()),
                        ("EdgeStream, linger = \"1s\"", () => EdgeStreamPair.StartAsync(Linger)),
                        ("NATS", () => NatsPair.StartAsync()),
                    }
                    from perSecond in new[] { 1, 10, 100 }
                    select MeasureLiveAsync(kind.Name, kind.Start, perSecond);
        foreach (string row in await Task.WhenAll(cases))
            report.Note(row);
    }

    /// <summary>Connected, and nothing to send; six minutes and more.</summary>
    public static async Task RunIdleAsync(Report report)
    {
        TimeSpan often = TimeSpan.FromMinutes(2), seldom = TimeSpan.FromMinutes(6);
        Task<LinkTraffic> ofOften = MeasureIdleAsync(() => EdgeStreamPair.StartAsync(OftenAlive), often);
        Task<LinkTraffic> ofDefault = MeasureIdleAsync(() => EdgeStreamPair.StartAsync(), seldom);
        Task<LinkTraffic> ofNats = MeasureIdleAsync(() => NatsPair.StartAsync(), seldom);
        LinkTraffic oursOften = await ofOften, ours = await ofDefault, theirs = await ofNats;
        report.Note(Idle("EdgeStream, keep-alive = \"5s\"", oursOften, often));
        report.Note(Idle("EdgeStream", ours, seldom));
        report.Note(Idle("NATS", theirs, seldom));
        report.Goal("an idle day, default, headers of TCP and IP included", ours.WithHeaders * (Day / seldom) / 1000, 200, "kB", atMost: true);
    }

    private static async Task<string> MeasureLiveAsync(string name, Func<Task<IMirrorPair>> start, int perSecond)
    {
        using IMirrorPair pair = await start();
        TimeSpan length = TimeSpan.FromSeconds(perSecond == 1 ? 180 : 60);
        int count = (int)(length.TotalSeconds * perSecond);
        await pair.ConnectAsync();
        using IEnumerator<Reading> readings = SensorReadings.OfSensors(count + 1).GetEnumerator();
        long sent = 0;
        await PublishAsync(1);
        await Task.Delay(Settle);
        LinkTraffic before = pair.Traffic();
        long payload = await PublishAsync(count);
        LinkTraffic traffic = pair.Traffic() - before;
        return string.Create(
            CultureInfo.InvariantCulture,
            $"| {perSecond}/s for {length.TotalSeconds:0} s: {name} | {perSecond} | | {(double)traffic.Bytes / payload:0.00} bytes on the wire per payload byte, {(double)traffic.WithHeaders / payload:0.00} with headers of TCP and IP ({traffic.Packets / (double)count:0.0} packets a reading) |");

        async Task<long> PublishAsync(int number)
        {
            long bytes = 0;
            using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1.0 / perSecond));
            for (int i = 0; i < number && readings.MoveNext(); i++)
            {
                await timer.WaitForNextTickAsync();
                await pair.PublishAsync(readings.Current);
                bytes += readings.Current.PayloadBytes;
                sent++;
            }

            await Condition.WaitAsync(() => $"{name}: the hub has all", async () => await pair.CopiedAsync() == sent);
            return bytes;
        }
    }

    private static async Task<LinkTraffic> MeasureIdleAsync(Func<Task<IMirrorPair>> start, TimeSpan length)
    {
        using IMirrorPair pair = await start();
        await pair.ConnectAsync();
        await pair.FillAsync(SensorReadings.OfSensors(100));
        await Condition.WaitAsync(() => "the hub has all", async () => await pair.CopiedAsync() == 100);
        await Task.Delay(Settle);
        LinkTraffic before = pair.Traffic();
        await Task.Delay(length);
        return pair.Traffic() - before;
    }

    private static string Idle(string name, LinkTraffic traffic, TimeSpan length) => string.Create(
        CultureInfo.InvariantCulture,
        $"| idle for {length.TotalMinutes:0} min: {name} | | | {traffic.Bytes} bytes, {traffic.WithHeaders} with headers of TCP and IP, {traffic.Packets} packets; a day of it {traffic.WithHeaders * (Day / length) / 1000:#,0.0} kB |");
}
