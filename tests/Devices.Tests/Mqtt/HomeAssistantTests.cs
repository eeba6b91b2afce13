using System.Net;
using System.Text.Json;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Harness;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Devices.Tests.Mqtt;

/// <summary>What Home Assistant would see, seen by <c>mosquitto_sub</c>.</summary>
public sealed class HomeAssistantTests : IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();
    private readonly MosquittoBroker _mosquitto;
    private readonly HomeAssistantState _state = new("1.2.3", null, true, 7, 4096);

    public HomeAssistantTests() => _mosquitto = new MosquittoBroker(_directory.Path);

    public async ValueTask InitializeAsync() => await _mosquitto.StartAsync();

    public ValueTask DisposeAsync()
    {
        _mosquitto.Dispose();
        _directory.Dispose();
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task Entities_state_and_availability_are_there_for_who_comes_later()
    {
        await using RunningSource run = await RunningSource.StartAsync(Discovery(null));
        Dictionary<string, string> seen = await SeenAsync(_mosquitto.Port, 7);

        Assert.Equal("online", seen["edgestream/berlin-7/availability"]);
        Assert.Equal("""{"problem":"OFF","problem_text":"","uplink":"ON","backlog":7,"disk":4096}""", seen["edgestream/berlin-7/state"]);
        using JsonDocument backlog = JsonDocument.Parse(seen["homeassistant/sensor/edgestream_berlin-7/backlog/config"]);
        Assert.Equal("edgestream/berlin-7/state", backlog.RootElement.GetProperty("state_topic").GetString());
        Assert.Equal("{{ value_json.backlog }}", backlog.RootElement.GetProperty("value_template").GetString());
        Assert.Equal("edgestream/berlin-7/availability", backlog.RootElement.GetProperty("availability_topic").GetString());
        Assert.Equal("1.2.3", backlog.RootElement.GetProperty("device").GetProperty("sw_version").GetString());
        using JsonDocument kitchen = JsonDocument.Parse(seen["homeassistant/sensor/edgestream_berlin-7/topic_readings_kitchen_2f1/config"]);
        Assert.Equal("edgestream/berlin-7/by-key/readings/kitchen/1", kitchen.RootElement.GetProperty("state_topic").GetString());
        Assert.Equal(("Kitchen", "°C"), (kitchen.RootElement.GetProperty("name").GetString(), kitchen.RootElement.GetProperty("unit_of_measurement").GetString()));
        string[] ids = [.. seen.Where(one => one.Key.EndsWith("/config", StringComparison.Ordinal)).Select(one => Unique(one.Value))];
        Assert.Equal(5, ids.Distinct().Count());

        static string Unique(string json)
        {
            using JsonDocument document = JsonDocument.Parse(json);
            return document.RootElement.GetProperty("unique_id").GetString()!;
        }
    }

    [Fact]
    public async Task Entity_that_is_configured_no_more_goes_from_the_broker()
    {
        const string Ghost = "homeassistant/sensor/edgestream_berlin-7/topic_readings_kitchen_2f1/config";
        var files = new MemoryFiles();
        await using (RunningSource before = await RunningSource.StartAsync(Discovery(null, files)))
            await before.StopAsync();

        Assert.Contains(Ghost, (await SeenAsync(_mosquitto.Port, 7)).Keys);

        HomeAssistantOptions without = Options(embedded: false) with { Sensors = [] };
        var discovery = new HomeAssistantDiscovery(
            without, null, () => _state, TimeProvider.System, NullLogger<HomeAssistantDiscovery>.Instance, files);
        await using RunningSource run = await RunningSource.StartAsync(discovery);
        using ChildProcess listener = await MosquittoClient.SubscribeAsync(_mosquitto.Port, "-t", Ghost, "-t", "marker", "-F", "got %t");
        await MosquittoClient.PublishAsync(_mosquitto.Port, "-t", "marker", "-m", "behind what is retained");
        await listener.WaitForLineAsync("^got marker$");
        Assert.DoesNotContain($"got {Ghost}", listener.Output, StringComparison.Ordinal);
        await run.StopAsync();

        // What is remembered is what is there: nothing is written again for the same.
        int writes = files.Writes;
        await using RunningSource again = await RunningSource.StartAsync(discovery);
        Assert.Equal(writes, files.Writes);
    }

    [Fact]
    public async Task Node_that_ends_is_unavailable()
    {
        await using RunningSource run = await RunningSource.StartAsync(Discovery(null));
        using ChildProcess listener = await MosquittoClient.SubscribeAsync(_mosquitto.Port, "-t", "edgestream/+/availability", "-F", "got %p");
        await listener.WaitForLineAsync("^got online$");
        await run.StopAsync();

        await listener.WaitForLineAsync("^got offline$");
    }

    [Fact]
    public async Task Chosen_topics_bring_their_values_to_the_nodes_own_broker_where_they_are_not_stored_again()
    {
        var stored = new RecordingSink();
        var broker = new EmbeddedBroker(
            new EmbeddedBrokerOptions { Listen = new IPEndPoint(IPAddress.Loopback, 0), Rules = [new MqttTopicRule("#", "everything")] },
            stored,
            TimeProvider.System,
            NullLogger<EmbeddedBroker>.Instance);
        await using RunningSource broking = await RunningSource.StartAsync(broker);
        await using RunningSource run = await RunningSource.StartAsync(Discovery(broker));
        var feed = new ListFeed();
        MqttPublication publication = Assert.Single(Options(embedded: true).EmbeddedSinks) with { Topic = "commands" };
        var sink = new EmbeddedBrokerSink(publication, broker, feed, NullLogger<EmbeddedBrokerSink>.Instance);
        await using RunningSource publishing = await RunningSource.StartAsync(sink);

        feed.Add("21.5", "kitchen/1");
        feed.Add("lost", "#");
        await Condition.WaitAsync("both are done", () => feed.Done == 2);

        Dictionary<string, string> seen = await SeenAsync(broker.BoundEndpoint!.Port, 8);
        Assert.Equal("21.5", seen["edgestream/berlin-7/by-key/commands/kitchen/1"]);
        Assert.Equal("online", seen["edgestream/berlin-7/availability"]);
        Assert.Equal((1, 1), (sink.Counters.Stored, sink.Counters.Dropped));
        Assert.Empty(stored.Offered);
    }

    [Theory]
    [InlineData("out/{key}", "out/+", "commands", true)]
    [InlineData("out/{key}", "#", "commands", true)]
    [InlineData("out/{key}", "out/a/b", "commands", true)]
    [InlineData("out/{key}", "in/+", "commands", false)]
    [InlineData("out/{key}/set", "out/+/state", "commands", false)]
    [InlineData("out/{key}/set", "out/+/set", "commands", true)]
    [InlineData("out/{key}/set", "out/+", "commands", false)]
    [InlineData("out/{key}", "$share/pool/out/+", "commands", true)]
    [InlineData("out/{key}", "out/+", "other", false)]
    [InlineData("out/{key}", "out/+", "{0}", true)]
    [InlineData("fixed", "fixed", "commands", true)]
    public void Records_that_would_go_in_a_circle_are_found(string publish, string filter, string topic, bool expected) =>
        Assert.Equal(expected, MqttLoops.Find([Sink("commands", publish)], [Source(filter, topic)]) is not null);

    [Fact]
    public void Circle_over_two_topics_is_found()
    {
        MqttSinkOptions[] sinks = [Sink("a", "to/b"), Sink("b", "to/a")];
        Assert.Equal(("a", "to/a"), MqttLoops.Find(sinks, [Source("to/a", "a"), Source("to/b", "b")]));
        Assert.Null(MqttLoops.Find(sinks, [Source("to/a", "c"), Source("to/b", "b")]));
    }

    private static MqttSinkOptions Sink(string topic, string publish) =>
        new() { Broker = new Uri("mqtt://b"), ClientId = "sink", Topic = topic, Publish = publish };

    private static MqttSourceOptions Source(string filter, string topic) =>
        new() { Broker = new Uri("mqtt://b:1883"), ClientId = "source", Rules = [new MqttTopicRule(filter, topic)] };

    private HomeAssistantDiscovery Discovery(EmbeddedBroker? broker, IDeviceFiles? files = null) =>
        new(Options(broker is not null), broker, () => _state, TimeProvider.System, NullLogger<HomeAssistantDiscovery>.Instance, files);

    private HomeAssistantOptions Options(bool embedded) => new()
    {
        Broker = embedded ? null : new HomeAssistantBroker { Broker = new Uri($"mqtt://127.0.0.1:{_mosquitto.Port}"), ClientId = "ha" },
        Node = "berlin-7",
        Sensors = [new HomeAssistantSensor("readings", "kitchen/1") { Name = "Kitchen", Unit = "°C", DeviceClass = "temperature" }],
    };

    /// <summary>What the broker has kept, by topic.</summary>
    private static async Task<Dictionary<string, string>> SeenAsync(int port, int count)
    {
        using ChildProcess listener = await MosquittoClient.SubscribeAsync(port, "-t", "#", "-F", "got %t %p");
        await Condition.WaitAsync(() => $"{count} are there:\n{listener.Output}", () => Task.FromResult(Lines().Length >= count));
        return Lines().Select(line => line.Split(' ', 3)).ToDictionary(parts => parts[1], parts => parts[2]);

        string[] Lines() => [.. listener.Output.Split('\n').Where(line => line.StartsWith("got ", StringComparison.Ordinal))];
    }
}
