using MQTTnet;
using MQTTnet.Formatter;
using MQTTnet.Protocol;

namespace EdgeStream.Benchmarks.Devices;

/// <summary>A consumer that is away: the broker has to keep everything for it.</summary>
internal static class MqttSubscriber
{
    public static async Task SubscribeAndLeaveAsync(int port, string filter)
    {
        using IMqttClient client = new MqttClientFactory().CreateMqttClient();
        await client.ConnectAsync(new MqttClientOptionsBuilder()
            .WithTcpServer("127.0.0.1", port)
            .WithClientId("consumer")
            .WithProtocolVersion(MqttProtocolVersion.V311)
            .WithCleanSession(false)
            .Build());
        await client.SubscribeAsync(filter, MqttQualityOfServiceLevel.AtLeastOnce);
        await client.DisconnectAsync();
    }
}
