using System.Diagnostics;
using System.Globalization;
using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;
using Spectre.Console;

namespace EdgeStream.Demo;

/// <summary>
/// A sensor, an edge and a hub, each its own process; the link between edge and hub is cut for a while. Ends with an audit:
/// what the sensor saw acknowledged, what the edge holds, what the hub holds.
/// </summary>
/// <param name="duration">How long the sensor runs; null until Ctrl-C.</param>
internal sealed class Show(TimeSpan? duration)
{
    private const string Readings = "readings";
    private const string Door = "door";
    private const string GeoLocation = "greenhouse";
    private static readonly TimeSpan Refresh = TimeSpan.FromMilliseconds(500);

    private readonly Stopwatch _elapsed = new();
    private TimeSpan _outageFrom;
    private TimeSpan _outageTo;

    public async Task<int> RunAsync()
    {
        using var directory = new TemporaryDirectory();
        using var interrupted = new CancellationTokenSource();
        Console.CancelKeyPress += (_, key) =>
        {
            key.Cancel = true;
            interrupted.Cancel();
        };

        int hubPort = FreePort.Take(), mqttPort = FreePort.Take();
        using var link = new FaultyLink(hubPort);
        using NodeProcess hub = NodeProcess.Hub(directory.Path, $"127.0.0.1:{hubPort}");
        using NodeProcess edge = NodeProcess.Edge(directory.Path, Configuration(mqttPort));

        Console.WriteLine($"data in {directory.Path} (removed at the end)");
        Step("start a hub", $"edgestream hub --listen 127.0.0.1:{hubPort}");
        await hub.StartAsync();
        Step("start an edge with an MQTT broker and a simulated GPIO line", "edgestream run --config edge.toml");
        await edge.StartAsync();
        await edge.Process.WaitForLineAsync("source mqtt.* runs");
        Step("let the edge in, at the hub", $"edgestream geo invite {GeoLocation}");
        string token = await hub.CommandAsync("geo", "invite", GeoLocation);
        Step("join, at the edge", $"edgestream join 127.0.0.1:{link.Port} --token {token[..12]}…");
        await edge.CommandAsync("join", $"127.0.0.1:{link.Port}", "--token", token);
        Step("start a sensor", $"100 readings a second by MQTT, QoS 1, to port {mqttPort}");
        Console.WriteLine();

        using EdgeStreamClient edgeClient = edge.Connect(), hubClient = hub.Connect();
        long acknowledged = await WatchAsync(edgeClient, hubClient, link, mqttPort, interrupted.Token);
        await edge.CommandAsync("status");
        return await AuditAsync(edgeClient, hubClient, acknowledged) ? 0 : 1;
    }

    private static string Configuration(int mqttPort) => $$"""
        [[topic]]
        name = "{{Readings}}"
        mirror = true

        [[topic]]
        name = "{{Door}}"
        mirror = true

        [[source.mqtt-broker]]
        listen = "127.0.0.1:{{mqttPort}}"
        subscribe = [{ filter = "sensors/+/climate", topic = "{{Readings}}", key = "{1}" }]

        [[source.gpio]]
        chip = "simulated"
        simulated-period = "700ms"
        line = 17
        topic = "{{Door}}"

        [uplink]
        max-backoff = "2s"
        """;

    private static void Step(string what, string how) => Console.WriteLine($"  {what,-62} {how}");

    /// <summary>Runs the sensor and shows what happens; how many messages it saw acknowledged.</summary>
    private async Task<long> WatchAsync(
        EdgeStreamClient edge, EdgeStreamClient hub, FaultyLink link, int mqttPort, CancellationToken interrupted)
    {
        // The outage lies in the first seconds, so that nobody has to wait for it.
        _outageFrom = duration is { } total ? total * 0.2 : TimeSpan.FromSeconds(4);
        _outageTo = duration is { } whole ? whole * 0.6 : TimeSpan.FromSeconds(14);
        using ChildProcess sensor = ChildProcess.Start(
            "sensor", Environment.ProcessPath!, ["sensor", mqttPort.ToString(CultureInfo.InvariantCulture)]);
        _elapsed.Start();
        if (AnsiConsole.Profile.Out.IsTerminal)
        {
            await AnsiConsole.Live(new Text("")).StartAsync(async live =>
                await LoopAsync(edge, hub, link, row => live.UpdateTarget(Picture(row)), interrupted));
        }
        else
        {
            await LoopAsync(edge, hub, link, row => Console.WriteLine(Line(row)), interrupted);
        }

        await sensor.StopAsync();
        string count = (await sensor.WaitForLineAsync(@"^acknowledged (\d+)$")).Groups[1].Value;
        link.Fault = LinkFault.None;
        return long.Parse(count, CultureInfo.InvariantCulture);
    }

    private sealed record Row(TimeSpan At, bool LinkIsCut, bool Connected, long Stored, long Mirrored, long DoorStored, long DoorMirrored);

    private async Task LoopAsync(
        EdgeStreamClient edge, EdgeStreamClient hub, FaultyLink link, Action<Row> show, CancellationToken interrupted)
    {
        using var timer = new PeriodicTimer(Refresh);
        try
        {
            while (_elapsed.Elapsed < (duration ?? TimeSpan.MaxValue) && await timer.WaitForNextTickAsync(interrupted))
            {
                bool cut = _elapsed.Elapsed >= _outageFrom && _elapsed.Elapsed < _outageTo;
                if (cut != (link.Fault == LinkFault.Cut))
                    link.Fault = cut ? LinkFault.Cut : LinkFault.None;

                // The hub first: what it has is never more than what the edge has a moment later.
                NodeStatus atHub = await hub.CallAsync(client => client.Agent.GetStatusAsync(new GetStatusRequest()));
                NodeStatus status = await edge.CallAsync(client => client.Agent.GetStatusAsync(new GetStatusRequest()));
                show(new Row(
                    _elapsed.Elapsed, cut, status.Uplinks.Any(uplink => uplink.Connected),
                    Durable(status, Readings), Durable(atHub, Readings), Durable(status, Door), Durable(atHub, Door)));
            }
        }
        catch (OperationCanceledException)
        {
            // Ctrl-C.
        }
    }

    private static long Durable(NodeStatus status, string topic) =>
        status.Partitions.FirstOrDefault(partition => partition.Partition.Topic == topic)?.Durable ?? 0;

    private static string Line(Row row) => string.Create(
        CultureInfo.InvariantCulture,
        $"{row.At.TotalSeconds,5:0.0} s  link {(row.LinkIsCut ? "CUT " : "up  ")} edge {row.Stored,6}  hub {row.Mirrored,6}  behind {row.Stored - row.Mirrored,5}  "
        + $"door {row.DoorStored,3}/{row.DoorMirrored,3}  {new string('#', Bar(row))}");

    private static int Bar(Row row) => (int)Math.Min(40, (row.Stored - row.Mirrored + 9) / 10);

    private Table Picture(Row row)
    {
        var table = new Table { Border = TableBorder.Rounded };
        table.Title = new TableTitle(
            $"sensor → MQTT → edge → {(row.LinkIsCut ? "[red]✂ link cut[/]" : "[green]link up[/]")} → hub    {row.At.TotalSeconds:0} s"
            + (duration is null ? "    (Ctrl-C ends it)" : ""));
        table.AddColumns("topic", "stored at the edge", "mirrored to the hub", "behind", "");
        table.AddRow(Readings, $"{row.Stored}", $"{row.Mirrored}", $"{row.Stored - row.Mirrored}", $"[yellow]{new string('█', Bar(row))}[/]");
        table.AddRow(Door, $"{row.DoorStored}", $"{row.DoorMirrored}", $"{row.DoorStored - row.DoorMirrored}", "");
        return table;
    }

    private static async Task<bool> AuditAsync(EdgeStreamClient edge, EdgeStreamClient hub, long acknowledged)
    {
        Console.WriteLine();
        Console.WriteLine("the sensor has ended; waiting until the hub has everything");
        bool good = true;
        foreach (string topic in (string[])[Readings, Door])
        {
            MirrorAudit? audit = null;
            try
            {
                // The simulated line never rests, so the hub is compared as often as it takes to meet the edge at an end.
                await Condition.WaitAsync(
                    () => $"the hub has all of '{topic}': {audit?.Difference}",
                    async () => (audit = await MirrorAudit.RunAsync(edge, hub, topic, hubPartition: 0)).Difference is null);
            }
            catch (TimeoutException late)
            {
                Console.WriteLine(late.Message);
            }

            good &= audit?.Difference is null;
            Console.WriteLine(
                $"{topic,-9} stored {audit?.Records}, mirrored {audit?.Records}, compared offset by offset, byte by byte: {audit?.Difference ?? "equal"}");
            if (topic == Readings)
            {
                bool complete = audit?.Records >= acknowledged;
                good &= complete;
                Console.WriteLine($"          the sensor saw {acknowledged} acknowledged: {(complete ? "all of them are stored" : "SOME ARE MISSING")}");
            }
        }

        Console.WriteLine(good ? "nothing is missing" : "SOMETHING IS MISSING");
        return good;
    }
}
