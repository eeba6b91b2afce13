using EdgeStream.Devices.Mqtt.Broker;
using Microsoft.Extensions.Time.Testing;
using MQTTnet;
using MQTTnet.Packets;

namespace EdgeStream.Devices.Tests.Mqtt;

public sealed class DelayedWillsTests
{
    [Fact]
    public void Wills_beyond_the_memory_for_them_are_published_at_once_whatever_makes_them_large()
    {
        const int Size = 50_000, Rounds = 10;
        List<string> published = [];
        using var wills = new DelayedWills(
            (device, _) =>
            {
                published.Add(device);
                return Task.CompletedTask;
            },
            new FakeTimeProvider());
        for (int i = 0; i < Rounds; i++)
        {
            wills.Add($"property {i}", new() { Topic = "t", UserProperties = [new MqttUserProperty("x", new byte[Size])] }, TimeSpan.FromHours(1));
            wills.Add($"correlation {i}", new() { Topic = "t", CorrelationData = new byte[Size] }, TimeSpan.FromHours(1));
            wills.Add($"type {i}", new() { Topic = "t", ContentType = new string('x', Size) }, TimeSpan.FromHours(1));
        }

        Assert.InRange(wills.Count, 1, 1024 * 1024 / Size);
        Assert.Equal(3 * Rounds, wills.Count + published.Count);
    }
}
