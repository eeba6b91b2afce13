using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using EdgeStream.Harness;
using MQTTnet;
using MQTTnet.Formatter;
using MQTTnet.Protocol;

namespace EdgeStream.Benchmarks.Mirroring;

/// <summary>
/// How long a reading takes from a device to a consumer at the hub: published by MQTT with QoS 1 to the edge's own broker, synced
/// there, mirrored, synced at the hub, consumed there. NATS the same way, without the syncs.
/// </summary>
internal static class DelayBenchmark
{
    private const int Runs = 3;
    private const int PerSecond = 100;
    private const int WarmUp = 500;
    private const int Measured = 2000;

    public static async Task RunAsync(Report report)
    {
        List<(TimeSpan Median, TimeSpan Late)> ours = [], theirs = [];
        for (int i = 0; i < Runs; i++)
        {
            ours.Add(await MeasureAsync(await EdgeStreamPair.StartAsync(mqtt: true)));
            theirs.Add(await MeasureAsync(await NatsPair.StartAsync(mqtt: true)));
        }

        report.Note(Row("EdgeStream, synced at edge and hub", ours));
        report.Note(Row("NATS, nothing synced", theirs));
    }

    private static async Task<(TimeSpan Median, TimeSpan Late)> MeasureAsync(IMirrorPair pair)
    {
        using (pair)
        {
            await pair.ConnectAsync();
            using IMqttClient device = new MqttClientFactory().CreateMqttClient();

            // The only version that NATS knows.
            await device.ConnectAsync(new MqttClientOptionsBuilder()
                .WithTcpServer("127.0.0.1", pair.MqttPort)
                .WithClientId("device")
                .WithProtocolVersion(MqttProtocolVersion.V311)
                .Build());
            using IEnumerator<Reading> readings = SensorReadings.OfSensors(1 + WarmUp + Measured).GetEnumerator();

            // The hub has something to consume from once the first reading is there.
            await PublishAsync(device, Next(readings));
            await Condition.WaitAsync(() => "the first reading is at the hub", async () => await pair.CopiedAsync() == 1);

            var published = new ConcurrentQueue<long>();
            var delays = new ConcurrentQueue<TimeSpan>();
            await pair.ListenAtHubAsync(() =>
            {
                if (published.TryDequeue(out long at))
                    delays.Enqueue(Stopwatch.GetElapsedTime(at));
            });
            var acknowledgements = new List<Task<MqttClientPublishResult>>();
            using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1.0 / PerSecond));
            for (int i = 0; i < WarmUp + Measured; i++)
            {
                await timer.WaitForNextTickAsync();
                published.Enqueue(Stopwatch.GetTimestamp());
                acknowledgements.Add(PublishAsync(device, Next(readings)));
            }

            await Task.WhenAll(acknowledgements);
            await Condition.WaitAsync("all have come", () => delays.Count == WarmUp + Measured);
            TimeSpan[] sorted = [.. delays.Skip(WarmUp).Order()];
            return (sorted[Measured / 2], sorted[Measured * 99 / 100]);
        }
    }

    private static Reading Next(IEnumerator<Reading> readings) => readings.MoveNext() ? readings.Current : throw new InvalidOperationException("no reading is left");

    private static Task<MqttClientPublishResult> PublishAsync(IMqttClient device, Reading reading) => device.PublishAsync(new MqttApplicationMessageBuilder()
        .WithTopic($"sensors/{Encoding.ASCII.GetString(reading.Key)}")
        .WithPayload(reading.Value)
        .WithQualityOfServiceLevel(MqttQualityOfServiceLevel.AtLeastOnce)
        .Build());

    private static string Row(string name, List<(TimeSpan Median, TimeSpan Late)> runs) => string.Create(
        CultureInfo.InvariantCulture,
        $"| MQTT at the edge to consumer at the hub, {PerSecond}/s: {name} | {PerSecond} | | p50 {Median(runs, run => run.Median):0.0} ms, p99 {Median(runs, run => run.Late):0.0} ms |");

    private static double Median(List<(TimeSpan Median, TimeSpan Late)> runs, Func<(TimeSpan Median, TimeSpan Late), TimeSpan> part) =>
        runs.Select(part).Order().ElementAt(Runs / 2).TotalMilliseconds;
}
