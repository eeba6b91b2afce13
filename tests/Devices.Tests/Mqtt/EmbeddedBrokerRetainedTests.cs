using System.Net;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Harness;
using Microsoft.Extensions.Time.Testing;

namespace EdgeStream.Devices.Tests.Mqtt;

/// <summary>Retained messages outlive the node.</summary>
public sealed class EmbeddedBrokerRetainedTests
{
    private readonly MemoryFiles _files = new();
    private readonly FakeTimeProvider _time = new();
    private readonly LogLines<EmbeddedBroker> _log = new();

    [Fact]
    public async Task Retained_messages_are_there_again_after_a_restart_with_all_that_belongs_to_them()
    {
        EmbeddedBroker broker = Broker();
        await using (RunningSource run = await RunningSource.StartAsync(broker))
        {
            await PublishAsync(broker, "-t", "s/plain", "-m", "1");
            await PublishAsync(broker, "-t", "s/rich", "-m", "2", "-D", "publish", "content-type", "text/plain",
                "-D", "publish", "user-property", "unit", "°C", "-D", "publish", "message-expiry-interval", "100");
            await PublishAsync(broker, "-t", "s/gone", "-m", "3");
            await PublishAsync(broker, "-t", "s/gone", "-n");
            await run.StopAsync();
        }

        broker = Broker();
        await using RunningSource again = await RunningSource.StartAsync(broker);
        using ChildProcess listener = await MosquittoClient.SubscribeAsync(
            broker.BoundEndpoint!.Port, "-V", "5", "-q", "1", "-t", "#", "-F", "got %t %p %q %r|%C|%P|%E");
        await Condition.WaitAsync("both came", () => Got(listener).Length == 2);
        Assert.Equal(["s/plain 1 1 1|||", "s/rich 2 1 1|text/plain|unit:°C|100"], Got(listener).Order());
    }

    [Fact]
    public async Task They_are_written_some_seconds_after_they_have_changed_and_not_otherwise()
    {
        EmbeddedBroker broker = Broker();
        await using RunningSource run = await RunningSource.StartAsync(broker);
        await PublishAsync(broker, "-t", "s/a", "-m", "1");
        await PublishAsync(broker, "-t", "s/a", "-m", "2");
        Assert.Equal(0, _files.Writes);
        await Condition.WaitAsync("they are written", () => Passed(1));

        // The same again is no change, and what is not to be kept is none.
        await PublishAsync(broker, "-t", "s/a", "-m", "2");
        Assert.Equal((0, ""), await MosquittoClient.PublishAsync(broker.BoundEndpoint!.Port, "-q", "1", "-t", "s/a", "-m", "3"));
        _time.Advance(TimeSpan.FromHours(1));
        await run.StopAsync();
        Assert.Equal(1, _files.Writes);

        bool Passed(int writes)
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            return _files.Writes == writes;
        }
    }

    [Fact]
    public async Task Brokers_at_the_same_port_of_different_addresses_keep_what_is_theirs()
    {
        EmbeddedBroker[] brokers = [Broker("127.0.0.1"), Broker("127.0.0.2")];
        foreach (EmbeddedBroker broker in brokers)
        {
            await using RunningSource run = await RunningSource.StartAsync(broker);
            await broker.PublishAsync(
                new MQTTnet.MqttApplicationMessage { Topic = "s/a", Payload = new("1"u8.ToArray()), Retain = true }, CancellationToken.None);
            await run.StopAsync();
        }

        Assert.Equal(2, _files.Contents.Count);
    }

    [Fact]
    public async Task Damaged_file_is_set_aside_and_the_broker_runs()
    {
        EmbeddedBroker broker = Broker();
        await using (RunningSource run = await RunningSource.StartAsync(broker))
        {
            await PublishAsync(broker, "-t", "s/a", "-m", "1");
            await run.StopAsync();
        }

        (string name, byte[] contents) = Assert.Single(_files.Contents);
        contents[contents.Length / 2] ^= 1;
        broker = Broker();
        await using RunningSource again = await RunningSource.StartAsync(broker);

        Assert.Equal([$"{name}.broken"], _files.Contents.Keys);
        Assert.Contains(_log.All, line => line.Contains("set aside", StringComparison.Ordinal));
        await PublishAsync(broker, "-t", "s/a", "-m", "2");
    }

    private static async Task PublishAsync(EmbeddedBroker broker, params string[] arguments) => Assert.Equal(
        (0, ""), await MosquittoClient.PublishAsync(broker.BoundEndpoint!.Port, ["-V", "5", "-q", "1", "-r", .. arguments]));

    private static string[] Got(ChildProcess listener) => [.. listener.Output.Split('\n')
        .Where(line => line.StartsWith("got ", StringComparison.Ordinal)).Select(line => line[4..])];

    private EmbeddedBroker Broker(string address = "127.0.0.1") => new(
        new EmbeddedBrokerOptions { Listen = new IPEndPoint(IPAddress.Parse(address), 0), Rules = [new MqttTopicRule("stored/#", "readings")] },
        new RecordingSink(), _time, _log, _files);
}
