using System.Globalization;
using EdgeStream.Harness;

namespace EdgeStream.Benchmarks.Devices;

/// <summary>
/// How fast devices get rid of their readings: 50 clients publish messages of 100 B with QoS 1. EdgeStream acknowledges what is synced;
/// mosquitto and nats-server what they have in memory, or in the kernel's.
/// </summary>
internal static class IngestBenchmark
{
    private const int Runs = 3;
    private const int Clients = 50;
    private const int PerClient = 2000;
    private const int Window = 20;
    private const int PayloadBytes = 100;

    public static async Task RunAsync(Report report)
    {
        List<double> ours = [], mosquitto = [], nats = [];
        for (int i = 0; i < Runs; i++)
        {
            ours.Add(await MeasureAsync(MqttServer.EdgeStream()));
            mosquitto.Add(await MeasureAsync(MqttServer.Mosquitto()));
            nats.Add(await MeasureAsync(MqttServer.Nats()));
        }

        Note(report, "EdgeStream, synced", ours);
        Note(report, "mosquitto, persistence on", mosquitto);
        Note(report, "nats-server, JetStream", nats);
        report.Goal("MQTT QoS 1 from 50 clients, of mosquitto", Median(ours) / Median(mosquitto), 1.5, "×");
    }

    private static async Task<double> MeasureAsync(MqttServer server)
    {
        using (server)
        {
            await server.StartAsync();
            await server.KeepReadingsAsync();
            var clients = new List<MqttPublisher>();
            for (int i = 0; i < Clients; i++)
                clients.Add(await MqttPublisher.ConnectAsync(server.Port, $"device-{i}"));

            byte[] payload = new byte[PayloadBytes];
            Random.Shared.NextBytes(payload);

            // The first messages find a program that has just started.
            await PublishAsync(clients, payload, PerClient / 4);
            TimeSpan time = await Report.TimeAsync(() => PublishAsync(clients, payload, PerClient));
            foreach (MqttPublisher client in clients)
                client.Dispose();

            return Clients * PerClient / time.TotalSeconds;
        }
    }

    private static Task PublishAsync(List<MqttPublisher> clients, byte[] payload, int count) =>
        Task.WhenAll(clients.Select((client, i) => Task.Run(() => client.PublishAsync($"sensors/{i}/temperature", payload, count, Window))));

    private static void Note(Report report, string what, List<double> rates) => report.Note(string.Create(
        CultureInfo.InvariantCulture,
        $"| MQTT QoS 1, {Clients} clients, {PayloadBytes} B: {what} | {Median(rates):#,0} | {Median(rates) * PayloadBytes / 1e6:0.0} | runs: {string.Join(", ", rates.Select(rate => rate.ToString("#,0", CultureInfo.InvariantCulture)))} |"));

    private static double Median(List<double> rates) => rates.Order().ElementAt(Runs / 2);
}
