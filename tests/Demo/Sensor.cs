using System.Globalization;
using System.Runtime.InteropServices;
using MQTTnet;
using MQTTnet.Protocol;

namespace EdgeStream.Demo;

/// <summary>A sensor program: three rooms, temperature and humidity, QoS 1, over a real MQTT client.</summary>
internal static class Sensor
{
    private static readonly string[] Rooms = ["kitchen", "cellar", "roof"];
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(10);

    /// <summary>Publishes until SIGTERM; then prints how many messages the broker has acknowledged.</summary>
    public static async Task<int> RunAsync(int port)
    {
        using var stop = new CancellationTokenSource();
        using PosixSignalRegistration signal = PosixSignalRegistration.Create(PosixSignal.SIGTERM, context =>
        {
            context.Cancel = true;
            stop.Cancel();
        });
        using IMqttClient client = new MqttClientFactory().CreateMqttClient();
        await client.ConnectAsync(new MqttClientOptionsBuilder().WithTcpServer("127.0.0.1", port).WithClientId("sensor").Build(), stop.Token);

        long acknowledged = 0;
        using var timer = new PeriodicTimer(Interval);
        try
        {
            for (int i = 0; await timer.WaitForNextTickAsync(stop.Token); i++)
            {
                string room = Rooms[i % Rooms.Length];
                double celsius = 20 + (3 * Math.Sin(i / 100.0));
                MqttApplicationMessage message = new MqttApplicationMessageBuilder()
                    .WithTopic($"sensors/{room}/climate")
                    .WithPayload(string.Create(CultureInfo.InvariantCulture, $$"""{"celsius":{{celsius:0.00}},"humidity":{{40 + (i % 20)}}}"""))
                    .WithQualityOfServiceLevel(MqttQualityOfServiceLevel.AtLeastOnce)
                    .Build();

                // Not cancelled in between: what was sent is waited for, so that the count is true.
                MqttClientPublishResult result = await client.PublishAsync(message, CancellationToken.None);
                acknowledged += result.IsSuccess ? 1 : 0;
            }
        }
        catch (OperationCanceledException)
        {
            // Asked to end.
        }

        Console.WriteLine($"acknowledged {acknowledged}");
        return 0;
    }
}
