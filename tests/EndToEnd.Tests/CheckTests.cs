using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary><c>edgestream check</c> finds what would go wrong here, with its cure, and starts nothing.</summary>
public sealed class CheckTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly TcpListener _other = new(IPAddress.Loopback, 0);

    public CheckTests() => _other.Start();

    public void Dispose()
    {
        _other.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public async Task What_waits_for_others_is_a_warning_and_no_failure()
    {
        using var good = new MosquittoBroker(_directory.At("good"));
        using var closedToUs = new MosquittoBroker(_directory.At("strict"), "allow_anonymous false");
        await Task.WhenAll(good.StartAsync(), closedToUs.StartAsync());
        int taken = ((IPEndPoint)_other.LocalEndpoint).Port;
        using TcpListener inUse = new(IPAddress.Loopback, 0), closed = new(IPAddress.Loopback, 0);
        inUse.Start();
        int used = ((IPEndPoint)inUse.LocalEndpoint).Port;
        closed.Start();
        int nobody = ((IPEndPoint)closed.LocalEndpoint).Port;
        closed.Stop();
        string file = await WriteAsync(
            $$"""
            [[topic]]
            name = "readings"
            [[source.mqtt]]
            broker = "mqtt://127.0.0.1:{{nobody}}"
            subscribe = [{ filter = "a", topic = "readings" }]
            [[source.mqtt]]
            broker = "mqtt://127.0.0.1:{{taken}}"
            client-id = "other"
            subscribe = [{ filter = "a", topic = "readings" }]
            [[source.mqtt]]
            broker = "mqtt://127.0.0.1:{{good.Port}}"
            client-id = "third"
            subscribe = [{ filter = "a", topic = "readings" }]
            [[source.mqtt]]
            broker = "mqtt://127.0.0.1:{{closedToUs.Port}}"
            client-id = "fourth"
            subscribe = [{ filter = "a", topic = "readings" }]
            [[source.mqtt-broker]]
            listen = "127.0.0.1:{{used}}"
            subscribe = [{ filter = "b", topic = "readings" }]
            [[source.gpio]]
            chip = 99
            line = 3
            topic = "door"
            """);
        (int exitCode, List<(string Check, string Result, string Message)> found) = await CheckAsync(file, _directory.At("data"));

        Assert.Equal(0, exitCode);
        Assert.Contains(found, one => one is ("configuration", "ok", "1 topic, 6 sources, 0 sinks"));
        Assert.Contains(found, one => one is ("data", "ok", _));
        Assert.Contains(found, one => one is ("port", "warning", _) && one.Message.Contains($"127.0.0.1:{used} for MQTT broker is in use", StringComparison.Ordinal));
        Assert.Contains(found, one => one is ("MQTT broker", "warning", _) && one.Message.Contains($"cannot connect to mqtt://127.0.0.1:{nobody}: Connection refused", StringComparison.Ordinal));
        Assert.Contains(found, one => one is ("MQTT broker", "warning", _) && one.Message.Contains($"mqtt://127.0.0.1:{taken} does not answer within 5 s", StringComparison.Ordinal));
        Assert.Contains(found, one => one is ("MQTT broker", "warning", _) && one.Message.Contains($"mqtt://127.0.0.1:{closedToUs.Port} refused the connection: NotAuthorized; look at username and password", StringComparison.Ordinal));
        Assert.Contains(found, one => one is ("MQTT broker", "ok", _) && one.Message == $"mqtt://127.0.0.1:{good.Port} lets this node in");
        Assert.Contains(found, one => one is ("gpio", "warning", _) && one.Message.Contains("there is no /dev/gpiochip99", StringComparison.Ordinal));
        Assert.False(Directory.Exists(_directory.At("data")));
    }

    [Fact]
    public async Task What_sources_will_not_find_is_a_warning_with_its_cure()
    {
        string file = await WriteAsync(
            """
            [[source.sysfs]]
            path = "/no/such/28-*/w1_slave"
            topic = "readings"
            [[source.command]]
            command = ["no-such-meter"]
            topic = "readings"
            [[source.mqtt-broker]]
            listen = "none"
            tls-listen = "127.0.0.1:0"
            cert-file = "/no/cert"
            key-file = "/no/key"
            subscribe = [{ filter = "b", topic = "readings" }]
            """);
        (int exitCode, List<(string Check, string Result, string Message)> found) = await CheckAsync(file, _directory.At("data"));

        Assert.Equal(0, exitCode);
        Assert.Contains(found, one => one is ("sysfs", "warning", "no file is called '/no/such/28-*/w1_slave'; is the sensor plugged in and its driver loaded?"));
        Assert.Contains(found, one => one is ("command", "warning", "there is no program 'no-such-meter'; give its whole path, or install it"));
        Assert.Contains(found, one => one is ("certificate", "warning", "cert-file '/no/cert' does not exist; put it there, or correct the setting"));
    }

    [Fact]
    public async Task What_keeps_a_node_from_starting_is_a_failure()
    {
        string file = await WriteAsync("[storage]\nbudget = \"1000TiB\"\n");
        (int exitCode, List<(string Check, string Result, string Message)> found) = await CheckAsync(file, "/proc/nowhere");

        Assert.Equal(1, exitCode);
        Assert.Contains(found, one => one is ("data", "problem", _) && one.Message.Contains("choose another with --data", StringComparison.Ordinal));
        Assert.Contains(found, one => one is ("disk", "problem", _) && one.Message.Contains("lower storage.budget", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Node_that_runs_is_not_taken_for_another_program()
    {
        using NodeProcess edge = NodeProcess.Edge(_directory.Path, Sites.Plain);
        await edge.StartAsync();
        string file = await WriteAsync("[[topic]]\nname = \"readings\"\n");
        (int exitCode, List<(string Check, string Result, string Message)> found) = await CheckAsync(file, edge.Data, edge.Socket);

        Assert.Equal(0, exitCode);
        Assert.Contains(found, one => one is ("socket", "ok", _) && one.Message.Contains("a node answers", StringComparison.Ordinal));
        Assert.DoesNotContain(found, one => one.Check == "port");
        await edge.CommandAsync("status");
    }

    private async Task<string> WriteAsync(string configuration)
    {
        string file = _directory.At("check.toml");
        await File.WriteAllTextAsync(file, configuration, TestContext.Current.CancellationToken);
        return file;
    }

    private async Task<(int ExitCode, List<(string Check, string Result, string Message)> Found)> CheckAsync(
        string file, string data, string? socket = null)
    {
        (int exitCode, string output, string error) = await EdgeStreamProgram.RunAsync(
            ["check", "-c", file, "--data", data, "--socket", socket ?? _directory.At("s"), "-o", "json"]);
        Assert.Equal("", error);
        using JsonDocument json = JsonDocument.Parse(output);
        return (exitCode, [.. json.RootElement.EnumerateArray().Select(row => (Text(row, "check"), Text(row, "result"), Text(row, "message")))]);
    }

    private static string Text(JsonElement row, string name) => row.GetProperty(name).GetString()!;
}
