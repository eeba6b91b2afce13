using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>The whole program between MQTT clients that are not ours.</summary>
public sealed class MqttTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Reading_goes_through_the_log_to_local_subscribers_and_Home_Assistant()
    {
        int port = FreePort.Take();
        using NodeProcess edge = NodeProcess.Edge(_directory.Path, $$$"""
            [[source.mqtt-broker]]
            listen = "127.0.0.1:{{{port}}}"
            subscribe = [{ filter = "#", topic = "readings", key = "{json:device.id}", timestamp = "{json:ts}", headers = { from = "{topic}" } }]

            [[sink.mqtt]]
            broker = "embedded"
            topic = "readings"
            publish = "latest/{key}"
            retain = true

            [home-assistant]
            broker = "embedded"
            node = "berlin-7"
            sensors = [{ topic = "readings", key = "d-7", value-template = "{{ value_json.t }}" }]
            """);
        await edge.StartAsync();
        await edge.Process.WaitForLineAsync($"mqtt-broker://127.0.0.1:{port} runs");
        using ChildProcess listener = await MosquittoClient.SubscribeAsync(port, "-q", "1", "-t", "latest/#", "-t", "edgestream/#", "-t", "homeassistant/#", "-F", "got %t %p");
        await listener.WaitForLineAsync("^got edgestream/berlin-7/availability online$");
        await listener.WaitForLineAsync("^got edgestream/berlin-7/state .*\"problem\":\"OFF\"");
        await listener.WaitForLineAsync("^got homeassistant/sensor/edgestream_berlin-7/topic_readings_d-7/config \\{");

        const string Reading = """{"device":{"id":"d-7"},"t":21.5,"ts":1700000000}""";
        Assert.Equal((0, ""), await MosquittoClient.PublishAsync(port, "-q", "1", "-t", "plant/meter", "-m", Reading));
        Assert.Equal((0, ""), await MosquittoClient.PublishAsync(port, "-q", "1", "-t", "plant/meter", "-m", "no JSON"));

        await listener.WaitForLineAsync($"^got latest/d-7 {Reading.Replace("{", "\\{", StringComparison.Ordinal)}$");
        await listener.WaitForLineAsync("^got edgestream/berlin-7/by-key/readings/d-7 ");
        await listener.WaitForLineAsync("^got latest/plant/meter no JSON$");

        // Two, and not what was published of them again.
        string stored = await edge.CommandAsync("consume", "readings", "-B", "-d", "-k", "-t");
        string[] lines = stored.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(2, lines.Length);
        Assert.Contains("2023-11-14T22:13:20", lines[0], StringComparison.Ordinal);
        Assert.Contains("d-7", lines[0], StringComparison.Ordinal);
        Assert.Contains("plant/meter", lines[1], StringComparison.Ordinal);
        Assert.Contains("its payload is not JSON", await edge.CommandAsync("status"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Broker_whose_certificate_is_not_trusted_is_one_line_in_log_and_status()
    {
        using var good = new TestAuthority(_directory.Path);
        using var other = new TestAuthority(_directory.Path, "other");
        (string cert, string key) = other.Issue("server");
        using var mosquitto = new MosquittoBroker(_directory.Path, $"certfile {cert}", $"keyfile {key}");
        await mosquitto.StartAsync();
        using NodeProcess edge = NodeProcess.Edge(_directory.Path, $$"""
            [[source.mqtt]]
            broker = "mqtts://localhost:{{mosquitto.Port}}"
            ca-file = "{{good.File}}"
            subscribe = [{ filter = "s/#", topic = "readings" }]
            """);
        await edge.StartAsync();
        const string Reason = "its certificate was issued by nobody who is trusted here; ca-file names the authorities";

        await edge.Process.WaitForLineAsync(Reason);
        Assert.Contains(Reason, await edge.CommandAsync("status"), StringComparison.Ordinal);
    }
}
